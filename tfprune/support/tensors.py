"""Types for what passes through the package: tensors of any backend, nests of them, data, losses.

Keras itself has no types that a checker sees; these say what the package relies on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, Union

import numpy as np

if TYPE_CHECKING:
    import keras


class Tensor(Protocol):
    """A tensor of the active backend, or a `keras.KerasTensor`."""

    @property
    def shape(self) -> Sequence[int]:
        """Sizes of the axes."""

    @property
    def dtype(self) -> object:
        """Type of the entries, in the words of the backend."""

    def __add__(self, other: "Tensor | float") -> "Tensor":
        """Return the sum of the entries."""

    def __sub__(self, other: "Tensor | float") -> "Tensor":
        """Return the difference of the entries."""

    def __mul__(self, other: "Tensor | float") -> "Tensor":
        """Return the product of the entries."""

    def __truediv__(self, other: "Tensor | float") -> "Tensor":
        """Return the quotient of the entries."""

    def __float__(self) -> float:
        """Return the one entry."""


Nest = Union[Tensor, np.ndarray, None, Sequence["Nest"], Mapping[str, "Nest"]]

# What `keras.Model.fit` takes: arrays or a tuple of them, a dataset, or batches one by one.
Data = Iterable[object]

# A rounding, a constraint or a regularizer.
OfTensor = Callable[[Tensor], Tensor]

# A loss as Keras's `compile` takes it.
Loss = Union[
    str,
    Callable[[Tensor, Tensor], Tensor],
    "keras.losses.Loss",
    None,
    Sequence["Loss"],
    Mapping[str, "Loss"],
]
