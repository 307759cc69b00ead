"""Convolutions as two or three: spatial SVD, channel SVD and Tucker-2."""

import math
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tfprune.compression.low_rank import channel_svd, spatial_svd, tucker
from tfprune.compression.low_rank.forms import Form, Fresh
from tfprune.compression.low_rank.matrices import Ranks
from tfprune.keras_graph.calls import Call, Value
from tfprune.keras_graph.copying import copy_layer
from tfprune.support.arrays import host_array
from tfprune.support.configurable import Config


def convolution(
    layer: keras.layers.Layer, kernel: keras.Variable, calls: Sequence[Call], method: str
) -> Form | str:
    """Return how a convolution becomes several, or why it cannot.

    Args:
        layer: of Keras's own classes.
        kernel: of the layer.
        calls: of the layer in the model.
        method: of `METHODS`.
    """
    if layer.groups > 1:
        return "its channels are in groups"
    if math.prod(layer.kernel_size) == 1:
        return "its kernel has one position"
    return METHODS[method](layer, kernel, calls)


def _spatial(
    layer: keras.layers.Layer, kernel: keras.Variable, calls: Sequence[Call]
) -> Form | str:
    if len(layer.kernel_size) != 2 or 1 in layer.kernel_size:
        return "no spatial SVD without two axes: convolutions='channel' and 'tucker' need one"
    high, wide, inputs, outputs = kernel.shape
    (down, right), (below, beside) = layer.strides, layer.dilation_rate

    def layers(ranks: Ranks, fresh: Fresh) -> list[keras.layers.Layer]:
        name = fresh(f"{layer.name}_in")
        return [
            _further(layer, ranks[0], name, (high, 1), (down, 1), (below, 1)),
            _own(layer, (1, wide), (1, right), (1, beside)),
        ]

    # Rows as after both layers, columns as before.
    between = [_sizes(layer, c.outputs[0])[0] * _sizes(layer, c.inputs[0])[1] for c in calls]
    made = sum(_places(layer, call.outputs[0]) for call in calls)
    value = host_array(kernel.value)
    return Form(
        layer,
        kernel,
        "spatial SVD",
        (min(high * inputs, wide * outputs),),
        lambda moments: spatial_svd.split(value, moments),
        lambda ranks: [high * inputs * ranks[0], wide * outputs * ranks[0]],
        (sum(between), made),
        made,
        layers,
        lambda factors: np.einsum("hxir,ywro->hwio", *factors),
    )


def _channel(layer: keras.layers.Layer, kernel: keras.Variable, calls: Sequence[Call]) -> Form:
    ones = (1,) * len(layer.kernel_size)
    *positions, inputs, outputs = kernel.shape

    def layers(ranks: Ranks, fresh: Fresh) -> list[keras.layers.Layer]:
        name = fresh(f"{layer.name}_in")
        geometry = layer.kernel_size, layer.strides, layer.dilation_rate
        return [_further(layer, ranks[0], name, *geometry), _own(layer, ones, ones, ones)]

    made = sum(_places(layer, call.outputs[0]) for call in calls)
    value = host_array(kernel.value)
    return Form(
        layer,
        kernel,
        "channel SVD",
        (min(math.prod(positions) * inputs, outputs),),
        lambda moments: channel_svd.split(value, moments),
        lambda ranks: [math.prod(positions) * inputs * ranks[0], ranks[0] * outputs],
        (made, made),
        made,
        layers,
        lambda factors: factors[0] @ _matrix(factors[1]),
    )


def _tucker(layer: keras.layers.Layer, kernel: keras.Variable, calls: Sequence[Call]) -> Form:
    ones = (1,) * len(layer.kernel_size)
    *positions, inputs, outputs = kernel.shape
    size = math.prod(positions)

    def layers(ranks: Ranks, fresh: Fresh) -> list[keras.layers.Layer]:
        names = fresh(f"{layer.name}_in"), fresh(f"{layer.name}_core")
        geometry = layer.kernel_size, layer.strides, layer.dilation_rate
        return [
            _further(layer, ranks[0], names[0], ones, ones, ones),
            _further(layer, ranks[1], names[1], *geometry),
            _own(layer, ones, ones, ones),
        ]

    seen = sum(_places(layer, call.inputs[0]) for call in calls)
    made = sum(_places(layer, call.outputs[0]) for call in calls)
    value = host_array(kernel.value)
    return Form(
        layer,
        kernel,
        "Tucker-2",
        (min(inputs, size * outputs), min(outputs, size * inputs)),
        lambda moments: tucker.split(value, moments),
        lambda ranks: [inputs * ranks[0], size * math.prod(ranks), ranks[1] * outputs],
        (seen, made, made),
        made,
        layers,
        lambda factors: _matrix(factors[0]) @ factors[1] @ _matrix(factors[2]),
    )


METHODS: dict[str, Callable[[keras.layers.Layer, keras.Variable, Sequence[Call]], Form | str]] = {
    "spatial": _spatial,
    "channel": _channel,
    "tucker": _tucker,
}


def _further(
    layer: keras.layers.Layer,
    filters: int,
    name: str,
    size: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> keras.layers.Layer:
    """Return a new convolution of the same class, without bias and activation."""
    return type(layer)(
        filters,
        tuple(size),
        strides=tuple(strides),
        padding=layer.padding,
        data_format=layer.data_format,
        dilation_rate=tuple(dilations),
        use_bias=False,
        kernel_regularizer=layer.kernel_regularizer,
        dtype=layer.dtype_policy,
        name=name,
    )


def _own(
    layer: keras.layers.Layer, size: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> keras.layers.Layer:
    """Return the convolution itself with another geometry."""

    def change(layer: keras.layers.Layer, config: Config) -> None:
        config |= {"kernel_size": size, "strides": strides, "dilation_rate": dilations}

    return copy_layer(layer, change)


def _matrix(kernel: np.ndarray) -> np.ndarray:
    """Return the kernel of one position, (inputs, outputs)."""
    return kernel.reshape(kernel.shape[-2:])


def _sizes(layer: keras.layers.Layer, value: Value) -> list[int]:
    first = layer.data_format == "channels_first"
    return [size or 1 for size in (value.shape[2:] if first else value.shape[1:-1])]


def _places(layer: keras.layers.Layer, value: Value) -> int:
    return math.prod(_sizes(layer, value))
