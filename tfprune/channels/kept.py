"""Which channels are kept, and what a model of these channels costs."""

import dataclasses
import math

import keras
import numpy as np

from tfprune.channels.coupling.ledger import Labels, Settled
from tfprune.channels.coupling.reading import Reading
from tfprune.support.by_identity import ByIdentity


@dataclasses.dataclass(frozen=True)
class Kept:
    """What is kept of the channels.

    Attributes:
        settled: the channels.
        removed: roots of those that go.
    """

    settled: Settled
    removed: np.ndarray

    @property
    def _gone(self) -> np.ndarray:
        gone = np.zeros(self.settled.roots.size, bool)
        gone[self.removed] = True
        return gone

    def mask(self, labels: Labels) -> np.ndarray:
        """Return whether each label is of a kept channel."""
        return ~self._gone[self.settled.of(labels)]

    def count(self, labels: Labels) -> int:
        """Return the number of labels of kept channels."""
        return int(np.count_nonzero(self.mask(labels)))


@dataclasses.dataclass(frozen=True)
class Cost:
    """Size and work of a model.

    Attributes:
        parameters: all of them, not only the trainable ones.
        multiply_adds: of one example; lengths that the model leaves open count as 1.
    """

    parameters: int
    multiply_adds: int


class Costs:
    """What a model costs with some of its channels."""

    def __init__(self, reading: Reading, settled: Settled):
        self._shapes = ByIdentity((w, list(w.shape)) for w in reading.model.weights)
        # weight -> axis -> roots of the labels along it
        self._axes: ByIdentity[keras.Variable, dict[int, np.ndarray]] = ByIdentity()
        for lies in reading.book.weights:
            if lies.labels.any():
                self._axes.setdefault(lies.weight, {})[lies.axis] = settled.of(lies.labels)
        self._products = [
            (product.kernel, settled.of(product.labels), product.each)
            for product in reading.book.products
        ]
        self._size = settled.roots.size

    def of(self, removed: np.ndarray) -> Cost:
        """Return the cost without the channels of these roots."""
        kept = np.ones(self._size, bool)
        kept[removed] = False
        shapes = ByIdentity((weight, list(shape)) for weight, shape in self._shapes.items())
        for weight, axes in self._axes.items():
            for axis, roots in axes.items():
                shapes[weight][axis] = int(np.count_nonzero(kept[roots]))
        sizes = ByIdentity((weight, math.prod(shape)) for weight, shape in shapes.items())
        products = sum(
            (1 if kernel is None else sizes[kernel]) * each * int(np.count_nonzero(kept[roots]))
            for kernel, roots, each in self._products
        )
        return Cost(sum(sizes.values()), products)
