"""Examples in memory, of one shape or of several."""

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Union

import keras
import numpy as np

from tfprune.support.tensors import Nest

FEWEST = 2  # one example has no variance, and tells nothing about any other


@dataclasses.dataclass(frozen=True)
class Examples:
    """Examples of one shape, held in memory.

    Attributes:
        x: inputs, a nest of arrays (N, ...).
        y: targets, a nest of arrays (N, ...), or None.
        sample_weight: nest of arrays (N, ...), or None.
    """

    x: Nest
    y: Nest = None
    sample_weight: Nest = None

    @property
    def count(self) -> int:
        """N, the number of examples."""
        return len(keras.tree.flatten(self.x)[0])

    @property
    def parts(self) -> tuple["Examples", ...]:
        """The examples, apart by shape."""
        return (self,)

    def leaves(self) -> list[np.ndarray]:
        """Return all arrays, in the order that `pack` takes them."""
        return [leaf for leaf in keras.tree.flatten(self.nest) if leaf is not None]

    def pack(self, leaves: Sequence[object]) -> tuple[Nest, Nest, Nest]:
        """Return (x, y, sample_weight) of this structure with other leaves."""
        remaining = iter(leaves)
        return keras.tree.map_structure(
            lambda leaf: None if leaf is None else next(remaining), self.nest
        )

    @property
    def structure(self) -> str:
        """How leaves are packed, to tell structures apart."""
        return repr(self.pack(range(len(self.leaves()))))

    def take(self, index: slice | np.ndarray) -> "Examples":
        """Return the examples at an index or slice."""
        return Examples(*self.pack([leaf[index] for leaf in self.leaves()]))

    def batches(self, size: int) -> Iterator["Examples"]:
        """Yield the examples in order, `size` at a time; the last batch may be smaller."""
        for start in range(0, self.count, size):
            yield self.take(slice(start, start + size))

    def halves(self, seed: int = 0) -> tuple["Examples", "Examples"]:
        """Return two parts without a common example, chosen at random, in the order of the data.

        Of fewer than 4, both parts have all.

        Example:
            >>> [part.x.size for part in Examples(np.arange(5)).halves()]
            [2, 3]
        """
        if self.count < 2 * FEWEST:
            return self, self
        order = np.random.default_rng(seed).permutation(self.count)
        first, second = np.split(order, [self.count // 2])
        return self.take(np.sort(first)), self.take(np.sort(second))

    @property
    def nest(self) -> tuple[Nest, Nest, Nest]:
        """(x, y, sample_weight)."""
        return self.x, self.y, self.sample_weight


@dataclasses.dataclass(frozen=True)
class VaryingExamples:
    """Examples of several shapes, such as sentences in batches that are padded to their longest.

    Attributes:
        parts: those of one shape each, at least two.
    """

    parts: tuple[Examples, ...]

    @property
    def count(self) -> int:
        """The number of examples of all shapes."""
        return sum(part.count for part in self.parts)

    def batches(self, size: int) -> Iterator[Examples]:
        """Yield the examples shape by shape, `size` at a time; the last of each may be smaller."""
        for part in self.parts:
            yield from part.batches(size)

    def take(self, index: np.ndarray) -> "AnyExamples":
        """Return the examples at an index into all of them, shape by shape."""
        starts = np.cumsum([0, *(part.count for part in self.parts)])
        own = [index[(start <= index) & (index < end)] - start for start, end in pairwise(starts)]
        found = tuple(part.take(at) for part, at in zip(self.parts, own) if at.size)
        return found[0] if len(found) == 1 else VaryingExamples(found)


AnyExamples = Union[Examples, VaryingExamples]


def joined(batches: Sequence[Examples]) -> AnyExamples:
    """Return the examples of batches of one structure, in their order as far as shapes allow.

    Example:
        >>> batches = [Examples(np.ones((2, length))) for length in (3, 5, 3)]
        >>> [part.x.shape for part in joined(batches).parts]
        [(4, 3), (2, 5)]
    """
    by_shape: dict[tuple[tuple[int, ...], ...], list[Examples]] = {}
    for batch in batches:
        shapes = tuple(leaf.shape[1:] for leaf in batch.leaves())
        by_shape.setdefault(shapes, []).append(batch)
    parts = tuple(_of_one_shape(own) for own in by_shape.values())
    return parts[0] if len(parts) == 1 else VaryingExamples(parts)


def _of_one_shape(batches: Sequence[Examples]) -> Examples:
    leaves = [np.concatenate(each) for each in zip(*(batch.leaves() for batch in batches))]
    return Examples(*batches[0].pack(leaves))
