"""What compact filters share: where the windows of a Conv2D lie, and what comes behind them."""

from typing import Any

import keras
import numpy as np
from keras import ops

from tfprune.compression.substitutes import behind_the_product
from tfprune.support.tensors import Tensor


def geometry(layer: keras.layers.Conv2D) -> dict[str, Any]:
    """Return the arguments of a convolution that say where its windows lie."""
    return {
        "strides": layer.strides,
        "padding": layer.padding,
        "dilation_rate": layer.dilation_rate,
        "data_format": layer.data_format,
        "dtype": layer.dtype_policy,
    }


def channel_axis(layer: keras.layers.Conv2D) -> int:
    """Return the axis of its channels, the examples counted."""
    return 1 if layer.data_format == "channels_first" else 3


def reordered(inputs: Tensor, order: np.ndarray, axis: int) -> Tensor:
    """Return channels in another order; nothing is done where it is theirs."""
    same = np.array_equal(order, np.arange(order.size))
    return inputs if same else ops.take(inputs, order, axis=axis)


def shift_and_activation(
    layer: keras.layers.Conv2D,
) -> tuple[keras.layers.Layer, list[np.ndarray]]:
    """Return a layer that adds the bias of a convolution and applies its activation, filled."""
    labels = "bohw" if channel_axis(layer) == 1 else "bhwo"
    return behind_the_product(layer, labels, layer.output.shape[1:])
