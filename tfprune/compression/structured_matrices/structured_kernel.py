"""What every structured matrix is here: the nearest one to a kernel, as layers."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tfprune.support.arrays import host_array

Filled = tuple[keras.layers.Layer, list[np.ndarray]]
"""A new layer, with the weights that it gets once it is built."""


@dataclasses.dataclass(frozen=True)
class Structured:
    """A structured matrix in the place of the kernel of a Dense layer.

    Attributes:
        kind: its name, with sizes, for reports.
        matrix: (inputs, outputs), what it is when written out.
        parameters: numbers that are stored, biases not counted.
        macs: multiply-adds for one vector.
        layers: (Dense layer, shape of its inputs without the examples) -> new layers that multiply
            by the matrix, add the layer's bias and apply its activation.
    """

    kind: str
    matrix: np.ndarray
    parameters: int
    macs: int
    layers: Callable[[keras.layers.Dense, Sequence[int | None]], list[Filled]]


def largest_divisor(number: int, limit: int) -> int:
    """Return the largest divisor of a number up to a limit.

    Example:
        >>> largest_divisor(784, 32)
        28
    """
    return max(d for d in range(1, min(number, limit) + 1) if number % d == 0)


def unflattened(shape: Sequence[int | None], sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the target of a Reshape that parts or joins the last axis of the inputs.

    Args:
        shape: of the inputs without the examples.
        sizes: that take the place of the last axis.

    Raises:
        ValueError: if more than one length is open.

    Example:
        >>> unflattened((None, 6), (2, 3))
        (-1, 2, 3)
    """
    before = [-1 if size is None else size for size in shape[:-1]]
    if before.count(-1) > 1:
        raise ValueError("more than one length of its inputs is open")
    return (*before, *sizes)


def bias_of(layer: keras.layers.Dense, shape: Sequence[int]) -> list[np.ndarray]:
    """Return the bias of a layer in another shape, in a list; none where there is none."""
    return [host_array(layer.bias.value).reshape(shape)] if layer.use_bias else []


def scaled_and_shifted(layer: keras.layers.Dense) -> Filled:
    """Return a layer that does what comes behind the product of a Dense layer.

    No layer of Keras adds a bias alone. This one multiplies each unit by a number, 1 at first, too.
    """
    units = layer.units
    found = keras.layers.EinsumDense(
        "...o,o->...o",
        units,
        bias_axes="o" if layer.use_bias else None,
        activation=layer.activation,
        dtype=layer.dtype_policy,
        name=layer.name,
    )
    return found, [np.ones(units, "float32"), *bias_of(layer, (units,))]


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return |found - wanted| / |wanted| in the Frobenius norm; 0 for a wanted matrix of zeros.

    Example:
        >>> relative_error(np.array([3.0, 0.0]), np.array([3.0, 4.0]))
        0.8
    """
    norm = float(np.linalg.norm(wanted))
    return 0.0 if math.isclose(norm, 0.0) else float(np.linalg.norm(found - wanted)) / norm
