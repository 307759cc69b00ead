"""N:M patterns: the `kept` largest of every m consecutive scores, in linear time, cache by cache.

The rank of a score in its group is the number of others that beat it, counted by comparing every
pair; that is m (m - 1) / 2 comparisons of whole vectors a group, where a sort would move each score
several times. Long groups are sorted.
"""

from collections.abc import Iterator

import numpy as np

from tfprune.sparsity.selection import CHUNK, Magnitude, Scores, comparable

_LARGEST_COMPARED = 32  # longer groups are sorted


def pattern_winners(scores: Scores, kept: int, m: int, axis: int) -> np.ndarray:
    """Return the mask of the `kept` largest in every `m` consecutive scores along an axis.

    Among equals the lower index wins. Where `m` does not divide the axis, the last group is shorter
    and keeps `kept` as well. Memory: one byte a score for the mask.

    Args:
        scores: array of rank >= 1, integer or float.
        kept: in [1, m).
        m: entries in a group.
        axis: of `scores`.

    Returns:
        Boolean array of the shape of `scores`.

    Raises:
        FloatingPointError: if a score is NaN.

    Example:
        >>> pattern_winners(np.array([3.0, 1.0, 2.0, 2.0]), 2, 4, 0)
        array([ True, False,  True, False])
    """
    magnitude = isinstance(scores, Magnitude)
    array = np.ascontiguousarray(scores.array if isinstance(scores, Magnitude) else scores)
    axis %= array.ndim
    length = array.shape[axis]
    flat = array.reshape(int(np.prod(array.shape[:axis])), length, -1)
    mask = np.empty(flat.shape, bool)
    whole = length - length % m
    for start, stop in ((0, whole), (whole, length)):
        width = min(m, stop - start)
        if not width:
            continue
        groups = (flat.shape[0], -1, width, flat.shape[2])
        # Splitting an axis copies nothing, so `winners` is a view of the mask.
        values, winners = (part[:, start:stop].reshape(groups) for part in (flat, mask))
        for piece in _pieces(values.shape):
            chunk = values[piece].astype(comparable(array.dtype), copy=False)
            winners[piece] = _largest(np.abs(chunk) if magnitude else chunk, kept)
    return mask.reshape(array.shape)


def _pieces(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Yield index tuples of cache-sized pieces of (before, groups, width, after), groups whole."""
    before, groups, width, after = shape
    inner = min(after, max(1, CHUNK // width))
    middle = min(groups, max(1, CHUNK // (width * inner)))
    outer = min(before, max(1, CHUNK // (width * inner * middle)))
    for i in range(0, before, outer):
        for j in range(0, groups, middle):
            for k in range(0, after, inner):
                yield slice(i, i + outer), slice(j, j + middle), slice(None), slice(k, k + inner)


def _largest(values: np.ndarray, kept: int) -> np.ndarray:
    """Return the mask of the `kept` largest along the second to last axis."""
    if np.isnan(values.max()):
        raise FloatingPointError("a score is NaN")
    width = values.shape[-2]
    if width <= kept:
        return np.ones(values.shape, bool)
    if width > _LARGEST_COMPARED:
        order = np.argsort(-values, axis=-2, kind="stable")
        losers = np.zeros(values.shape, bool)
        np.put_along_axis(losers, order[..., kept:, :], True, axis=-2)
        return ~losers
    members = np.ascontiguousarray(np.moveaxis(values, -2, 0))
    beaten = np.empty(members.shape, np.uint8)  # by how many others
    for i in range(width):
        beaten[i] = width - 1 - i
    for i in range(width):
        for j in range(i + 1, width):
            wins = members[i] >= members[j]
            beaten[i] -= wins
            beaten[j] += wins
    return np.moveaxis(beaten < kept, 0, -2)
