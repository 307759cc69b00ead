"""Which inputs each weight of a layer sees, and where to read them from the call of the layer.

What a weight is multiplied with stands in the table of axes; here is how each `Operand` is found in
the arguments of a call.
"""

import dataclasses
from collections.abc import Callable
from typing import cast

import keras
import numpy as np

from tfprune.keras_graph.private_keras import timestep_mask
from tfprune.layer_classes.axes import own_weights
from tfprune.layer_classes.products import Product, product_of
from tfprune.layer_classes.weight_axes import Operand
from tfprune.support.arrays import host_array
from tfprune.support.tensors import Nest, Tensor


@dataclasses.dataclass(frozen=True)
class Sight:
    """One weight of a layer and what it sees.

    Attributes:
        weight: the variable.
        callee: the layer whose `call` is given the inputs.
        product: the weight as a matrix times its inputs.
        read: arguments of the call -> input array, or None where the weight is not used.
    """

    weight: keras.Variable
    callee: keras.layers.Layer
    product: Product
    read: Callable[["Arguments"], np.ndarray | None]


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Arguments of one call; `steps` is the timestep mask (batch,) inside a recurrent loop."""

    positional: tuple[Nest, ...]
    named: dict[str, Nest]
    steps: np.ndarray | None = None

    def get(self, position: int, name: str, default: Nest | bool = None) -> Nest | bool:
        if position < len(self.positional):
            return self.positional[position]
        return self.named.get(name, default)

    @property
    def inputs(self) -> Tensor:
        return cast(Tensor, self.get(0, "inputs"))

    @property
    def state(self) -> Tensor:
        states = self.get(1, "states")
        return cast(Tensor, states[0] if isinstance(states, (list, tuple)) else states)

    def visible(self, tensor: Tensor) -> np.ndarray:
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
        >>> sights(layer)[0].product.size
        4
    """
    return [
        Sight(
            own.weight,
            own.holder,
            product_of(own.axes, own.weight.shape),
            _READERS[own.axes.operand](own.holder),
        )
        for own in own_weights(layer)
        if own.axes.operand is not None
    ]


Reader = Callable[[Arguments], np.ndarray | None]


def _inputs(arguments: Arguments) -> np.ndarray:
    return arguments.visible(arguments.inputs)


def _state(arguments: Arguments) -> np.ndarray:
    return arguments.visible(arguments.state)


def _gated_state(cell: keras.layers.Layer) -> Reader:
    units = cell.units

    def states(arguments: Arguments) -> np.ndarray:
        h, ops = arguments.state, keras.ops
        z = ops.matmul(arguments.inputs, cell.kernel[:, units : 2 * units])
        z += ops.matmul(h, cell.recurrent_kernel[:, units : 2 * units])
        if cell.use_bias:
            z += cell.bias[units : 2 * units]
        reset = arguments.visible(cell.recurrent_activation(z) * h)
        return np.stack([arguments.visible(h)] * 2 + [reset])

    return states


def _filtered(layer: keras.layers.Layer) -> Reader:
    def between(arguments: Arguments) -> np.ndarray:
        found = keras.ops.depthwise_conv(
            arguments.inputs,
            layer.depthwise_kernel,
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )
        return arguments.visible(found)

    return between


def _tokens(layer: keras.layers.Layer) -> Reader:
    def tokens(arguments: Arguments) -> np.ndarray | None:
        if arguments.get(1, "reverse", False):
            if layer.tie_weights:
                raise ValueError("uses one weight as a table and as a projection")
            return None
        ids = np.asarray(host_array(arguments.inputs)).astype(np.int64)
        return ids[ids != 0] if layer.mask_zero else ids

    return tokens


def _reversed(arguments: Arguments) -> np.ndarray | None:
    return _inputs(arguments) if arguments.get(1, "reverse", False) else None


# Operand -> layer -> reader.
_READERS: dict[Operand, Callable[[keras.layers.Layer], Reader]] = {
    Operand.INPUTS: lambda layer: _inputs,
    Operand.STATE: lambda layer: _state,
    Operand.GATED_STATE: _gated_state,
    Operand.FILTERED: _filtered,
    Operand.TOKENS: _tokens,
    Operand.REVERSED: lambda layer: _reversed,
}
