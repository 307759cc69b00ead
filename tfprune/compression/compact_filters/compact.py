"""What every compact filter is here: layers in the place of a Conv2D, near to it."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from tfprune.keras_graph.chains import Chain
from tfprune.support.arrays import host_array
from tfprune.support.tensors import Tensor


@dataclasses.dataclass(frozen=True)
class Compact:
    """Layers in the place of a Conv2D.

    Attributes:
        kind: their name, with sizes, for reports.
        kernel: (height, width, inputs, outputs), that of the one convolution that they amount to.
        parameters: numbers in their kernels.
        chain: the layers.
    """

    kind: str
    kernel: np.ndarray
    parameters: int
    chain: Chain


def geometry(layer: keras.layers.Conv2D) -> dict[str, Any]:
    """Return the arguments of a convolution that say where its windows lie."""
    return {
        "strides": layer.strides,
        "padding": layer.padding,
        "dilation_rate": layer.dilation_rate,
        "data_format": layer.data_format,
        "dtype": layer.dtype_policy,
    }


def bias_of(layer: keras.layers.Conv2D) -> list[np.ndarray]:
    """Return the bias of a layer in a list; none where it has none."""
    return [host_array(layer.bias.value)] if layer.use_bias else []


def channel_axis(layer: keras.layers.Conv2D) -> int:
    """Return the axis of its channels, the examples counted."""
    return 1 if layer.data_format == "channels_first" else 3


def reordered(inputs: Tensor, order: np.ndarray, axis: int) -> Tensor:
    """Return channels in another order; nothing is done where it is theirs."""
    same = np.array_equal(order, np.arange(order.size))
    return inputs if same else ops.take(inputs, order, axis=axis)


def shift_and_activation(layer: keras.layers.Conv2D) -> keras.layers.Layer:
    """Return a layer that adds the bias of a convolution and applies its activation.

    No layer of Keras adds a bias alone. This one multiplies each channel by a number, 1 at first,
    too.
    """
    first = channel_axis(layer) == 1
    labels = "bohw" if first else "bhwo"
    found: keras.layers.Layer = keras.layers.EinsumDense(
        f"{labels},o->{labels}",
        layer.output.shape[1:],
        bias_axes="o" if layer.use_bias else None,
        activation=layer.activation,
        dtype=layer.dtype_policy,
        name=layer.name,
    )
    return found
