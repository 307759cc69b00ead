"""A structure as a user writes one: diagonal stripes of a matrix."""

import dataclasses

import keras
import numpy as np

import tfprune


@keras.saving.register_keras_serializable("tests")
@dataclasses.dataclass(frozen=True)
class Diagonals(tfprune.structures.WholeGroups):
    """Entry (i, j) of the last two axes is in stripe (j - i) mod `stripes`."""

    stripes: int = 4

    def labels(self, shape):
        rows, columns = np.arange(shape[-2])[:, None], np.arange(shape[-1])
        return np.broadcast_to((columns - rows) % self.stripes, shape)


class BareDiagonals:
    """The same without a base class: the three methods of the contract and no more."""

    def __repr__(self):
        return "BareDiagonals()"  # the same in every process, as names of tests must be

    def labels(self, shape):
        return Diagonals().labels(shape)

    def largest_sparsity(self, shape):
        return 0.75

    def mask(self, scores, sparsity):
        means = [scores[self.labels(scores.shape) == stripe].mean() for stripe in range(4)]
        kept = np.argsort(-np.array(means), kind="stable")[: max(1, round(4 * (1 - sparsity)))]
        return np.isin(self.labels(scores.shape), kept)


def stripes_of(kernel):
    """How many entries of each of 4 stripes are not zero, as a share."""
    labels = Diagonals().labels(kernel.shape)
    return [float(np.mean(kernel[labels == stripe] != 0)) for stripe in range(4)]
