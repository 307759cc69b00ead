"""What every structured matrix is here: the nearest one to a kernel, as layers."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tfprune.compression.substitutes import behind_the_product

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


def scaled_and_shifted(layer: keras.layers.Dense) -> Filled:
    """Return a layer that adds the bias of a Dense layer and applies its activation, filled."""
    return behind_the_product(layer, "...o", (layer.units,))
