"""Which inputs each layer class shows to each of its prunable weights.

The table mirrors that of `tfprune.prunable`: layer class -> a function that lists, for a built
layer, its weights with their layout and a reader of the weight's inputs from the call's arguments.
Subclasses inherit their parent's entry.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from tfprune.keras_graph.private_keras import timestep_mask
from tfprune.layer_classes import products
from tfprune.layer_classes.products import Layout, transposed_table, window_table
from tfprune.support.arrays import host_array


@dataclasses.dataclass(frozen=True)
class Sight:
    """One weight of a layer and what it sees.

    Attributes:
        weight: the variable.
        callee: the layer whose `call` is given the inputs.
        layout: how the weight is laid out against the inputs.
        read: arguments of the call -> input array, or None where the weight is not used.
    """

    weight: keras.Variable
    callee: keras.layers.Layer
    layout: Layout
    read: Callable[["Arguments"], np.ndarray | None]


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Arguments of one call; `steps` is the timestep mask (batch,) inside a recurrent loop."""

    positional: tuple[Any, ...]
    named: dict[str, Any]
    steps: np.ndarray | None = None

    def get(self, position: int, name: str, default: Any = None) -> Any:
        if position < len(self.positional):
            return self.positional[position]
        return self.named.get(name, default)

    @property
    def inputs(self) -> Any:
        return self.get(0, "inputs")

    @property
    def state(self) -> Any:
        states = self.get(1, "states")
        return states[0] if isinstance(states, (list, tuple)) else states

    def visible(self, tensor: Any) -> np.ndarray:
        """Return the tensor as an array, zero where a timestep mask hides it.

        A row of zeros adds nothing to X^T X, whichever way the layer lays its inputs out.
        """
        array = np.asarray(host_array(tensor))
        mask = self.steps
        if mask is None and timestep_mask(tensor) is not None:
            mask = np.asarray(host_array(timestep_mask(tensor))).astype(bool)
        if mask is None or mask.shape != array.shape[: mask.ndim]:
            return array
        shape = mask.shape + (1,) * (array.ndim - mask.ndim)
        return np.where(mask.reshape(shape), array, array.dtype.type(0))


def sights(layer: keras.layers.Layer) -> list[Sight]:
    """Return what the layer's own weights (not those of sublayers) see; empty if unknown.

    Args:
        layer: a built layer.

    Raises:
        ValueError: for a form of the layer that is not a product of inputs and weight.

    Example:
        >>> layer = keras.layers.Dense(3)
        >>> layer.build((None, 4))
        >>> sights(layer)[0].layout.size
        4
    """
    for ancestor in type(layer).__mro__:
        if ancestor in _TABLE:
            return _TABLE[ancestor](layer)
    return []


def _inputs(arguments: Arguments) -> np.ndarray:
    return arguments.visible(arguments.inputs)


def _state(arguments: Arguments) -> np.ndarray:
    return arguments.visible(arguments.state)


def _dense(layer: Any) -> list[Sight]:
    return [Sight(layer.kernel, layer, products.dense(layer.kernel.shape), _inputs)]


def _einsum_dense(layer: Any) -> list[Sight]:
    layout = products.einsum(layer.equation, layer.kernel.shape)
    return [Sight(layer.kernel, layer, layout, _inputs)]


def _convolution(layer: Any) -> list[Sight]:
    layout = _window_layout(layer, layer.kernel, groups=layer.groups)
    return [Sight(layer.kernel, layer, layout, _inputs)]


def _depthwise(layer: Any) -> list[Sight]:
    layout = _window_layout(layer, layer.kernel, depthwise=True)
    return [Sight(layer.kernel, layer, layout, _inputs)]


def _separable(layer: Any) -> list[Sight]:
    def between(arguments: Arguments) -> np.ndarray:
        found = keras.ops.depthwise_conv(
            arguments.inputs,
            layer.depthwise_kernel,
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )
        array = arguments.visible(found)
        return np.moveaxis(array, 1, -1) if layer.data_format == "channels_first" else array

    pointwise = products.dense(layer.pointwise_kernel.shape)
    depthwise = _window_layout(layer, layer.depthwise_kernel, depthwise=True)
    return [
        Sight(layer.depthwise_kernel, layer, depthwise, _inputs),
        Sight(layer.pointwise_kernel, layer, pointwise, between),
    ]


def _window_layout(layer: Any, kernel: Any, plain: bool = False, **options: Any) -> Layout:
    """Return the layout of a convolution; `plain` is one of stride 1, "same", not dilated."""
    rank = len(kernel.shape) - 2
    strides = (1,) * rank if plain else _each(layer.strides, rank)
    dilations = (1,) * rank if plain else _each(layer.dilation_rate, rank)
    padding = "same" if plain else layer.padding

    def tables(sizes: Sequence[int]) -> list[np.ndarray]:
        return [
            window_table(size, positions, stride=stride, padding=padding, dilation=dilation)
            for size, positions, stride, dilation in zip(sizes, kernel.shape, strides, dilations)
        ]

    first = layer.data_format == "channels_first"
    return products.convolution(kernel.shape, tables, channels_first=first, **options)


def _transposed(layer: Any) -> list[Sight]:
    rank = len(layer.kernel.shape) - 2
    strides, dilations = _each(layer.strides, rank), _each(layer.dilation_rate, rank)
    first = layer.data_format == "channels_first"
    channels = layer.kernel.shape[-1]

    def tables(sizes: Sequence[int]) -> list[np.ndarray]:
        shape = (1, channels, *sizes) if first else (1, *sizes, channels)
        found = layer.compute_output_shape(shape)
        outputs = found[2:] if first else found[1:-1]
        return [
            transposed_table(
                size, positions, output, stride=stride, padding=layer.padding, dilation=dilation
            )
            for size, positions, output, stride, dilation in zip(
                sizes, layer.kernel.shape, outputs, strides, dilations
            )
        ]

    layout = products.convolution(layer.kernel.shape, tables, transposed=True, channels_first=first)
    return [Sight(layer.kernel, layer, layout, _inputs)]


def _embedding(layer: Any) -> list[Sight]:
    def tokens(arguments: Arguments) -> np.ndarray | None:
        if arguments.get(1, "reverse", False):
            if layer.tie_weights:
                raise ValueError("uses one weight as a table and as a projection")
            return None
        ids = np.asarray(host_array(arguments.inputs)).astype(np.int64)
        return ids[ids != 0] if layer.mask_zero else ids

    def projected(arguments: Arguments) -> np.ndarray | None:
        return _inputs(arguments) if arguments.get(1, "reverse", False) else None

    table = products.embedding(tuple(layer.embeddings.shape))
    found = [Sight(layer.embeddings, layer, table, tokens)]
    if not getattr(layer, "tie_weights", True):
        kernel = layer.reverse_embeddings
        found.append(Sight(kernel, layer, products.dense(kernel.shape), projected))
    return found


def _cell(layer: Any) -> list[Sight]:
    recurrent = products.dense(layer.recurrent_kernel.shape)
    return [
        Sight(layer.kernel, layer, products.dense(layer.kernel.shape), _inputs),
        Sight(layer.recurrent_kernel, layer, recurrent, _state),
    ]


def _gru_cell(layer: Any) -> list[Sight]:
    kernel, recurrent = _cell(layer)
    if layer.reset_after:
        return [kernel, recurrent]
    units = layer.units

    def states(arguments: Arguments) -> np.ndarray:
        """Return what the update gate, the reset gate and the candidate multiply: h, h, r * h."""
        h, ops = arguments.state, keras.ops
        z = ops.matmul(arguments.inputs, layer.kernel[:, units : 2 * units])
        z += ops.matmul(h, layer.recurrent_kernel[:, units : 2 * units])
        if layer.use_bias:
            z += layer.bias[units : 2 * units]
        reset = arguments.visible(layer.recurrent_activation(z) * h)
        return np.stack([arguments.visible(h)] * 2 + [reset])

    layout = products.dense(layer.recurrent_kernel.shape, parts=3)
    return [kernel, dataclasses.replace(recurrent, layout=layout, read=states)]


def _conv_lstm(layer: Any) -> list[Sight]:
    cell = layer.cell
    return [
        Sight(cell.kernel, cell, _window_layout(cell, cell.kernel), _inputs),
        Sight(
            cell.recurrent_kernel,
            cell,
            _window_layout(cell, cell.recurrent_kernel, plain=True),
            _state,
        ),
    ]


def _each(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


_TABLE: dict[type, Callable[[Any], list[Sight]]] = {
    layers.Dense: _dense,
    layers.EinsumDense: _einsum_dense,
    **dict.fromkeys((layers.Conv1D, layers.Conv2D, layers.Conv3D), _convolution),
    **dict.fromkeys(
        (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), _transposed
    ),
    **dict.fromkeys((layers.DepthwiseConv1D, layers.DepthwiseConv2D), _depthwise),
    **dict.fromkeys((layers.SeparableConv1D, layers.SeparableConv2D), _separable),
    **dict.fromkeys((layers.Embedding, layers.ReversibleEmbedding), _embedding),
    **dict.fromkeys((layers.SimpleRNNCell, layers.LSTMCell), _cell),
    layers.GRUCell: _gru_cell,
    **dict.fromkeys((layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D), _conv_lstm),
}
