"""What a layer computes between its operations in a file, and where ranges stand there."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from tfprune.support.tensors import Tensor


class Ranged(Protocol):
    """Rounds the value at a point of a layer to the range that was learned there."""

    def __call__(self, point: str, tensor: Tensor) -> Tensor:
        """Return the tensor, rounded."""


@dataclasses.dataclass(frozen=True)
class Inside:
    """How one kind of layer is computed with ranges.

    Attributes:
        points: names of the places that have a range of their own.
        call: (layer, ranged, *what the layer's own `call` takes) -> what that returns, where
            `ranged(point, tensor)` stands for the tensor.
    """

    points: tuple[str, ...]
    call: Callable[..., Any]
