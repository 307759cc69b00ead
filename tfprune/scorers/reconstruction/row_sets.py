"""Structures seen from the rows of layer-wise reconstruction.

A row is an output of its own, with the d weights of one column. An N:M pattern along the inputs is
a quota for sets of weights inside each row. A block is removable as a block where it is a product
of a set of inputs and a set of outputs of one slice; outputs with the same blocks form a row set.
"""

import dataclasses

import numpy as np

from tfprune.scorers.reconstruction.removal import Quotas


@dataclasses.dataclass(frozen=True)
class RowSet:
    """Rows that lose blocks of inputs together.

    Attributes:
        slice: which of the independent products the rows are of.
        rows: indices of the rows.
        labels: (d,) integers in [0, blocks), the block of each input.
    """

    slice: int
    rows: np.ndarray
    labels: np.ndarray


def quotas(labels: np.ndarray, kept: int) -> Quotas | None:
    """Return how many weights an N:M pattern removes from each set; None if sets span rows.

    Args:
        labels: (rows, d), the set of each weight, all of [0, sets) present.
        kept: weights of a set that stay.

    Example:
        >>> quotas(np.array([[0, 0, 1, 1]]), 1).allowed.tolist()
        [[1, 1]]
        >>> quotas(np.array([[0, 1], [0, 1]]), 1) is None
        True
    """
    order = np.argsort(labels, axis=1, kind="stable")
    ordered = np.take_along_axis(labels, order, axis=1)
    number = np.cumsum(np.diff(ordered, axis=1, prepend=ordered[:, :1]) != 0, axis=1)
    if int((number[:, -1] + 1).sum()) != int(labels.max()) + 1:
        return None
    own = np.empty_like(labels)
    np.put_along_axis(own, order, number, axis=1)
    sizes = np.zeros((len(labels), int(number.max()) + 1), np.int64)
    np.add.at(sizes, (np.arange(len(labels))[:, None], own), 1)
    return Quotas(own, np.maximum(sizes - kept, 0))


def row_sets_of(labels: np.ndarray, outputs: int) -> list[RowSet] | None:
    """Return the rows that lose blocks together; None if a block is not within one row set.

    Args:
        labels: (rows, d), the block of each weight, all of [0, blocks) present.
        outputs: rows a slice; slices follow one another.

    Example:
        >>> [found.rows.tolist() for found in row_sets_of(np.array([[0, 0], [0, 0], [1, 1]]), 3)]
        [[0, 1], [2]]
        >>> row_sets_of(np.array([[0, 0], [0, 0]]), 1) is None
        True
    """
    found, blocks = [], 0
    for number, start in enumerate(range(0, len(labels), outputs)):
        patterns, which = np.unique(labels[start : start + outputs], axis=0, return_inverse=True)
        for index, pattern in enumerate(patterns):
            present, own = np.unique(pattern, return_inverse=True)
            blocks += present.size
            rows = start + np.flatnonzero(which.reshape(-1) == index)
            found.append(RowSet(number, rows, own.reshape(-1)))
    return found if blocks == int(labels.max()) + 1 else None
