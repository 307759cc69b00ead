"""The best few levels for many numbers: k-means in one dimension, exactly.

In one dimension the clusters of the best solution are intervals of the sorted numbers. With c(i, j)
the cost of numbers i..j in one cluster, and D_k(j) that of the best k clusters of numbers 0..j,

    D_k(j) = min over i of D_{k-1}(i - 1) + c(i, j).

The best i grows with j, so that D_k is found by halving: for the middle j first, then on either
side within the bounds that it gives. Prefix sums of w, w x and w x^2 make every c a difference.
Time O(k n log n) for n numbers, memory O(k n); all rows and all j of one depth go together.

Sources: Wu, "Optimal quantization by matrix searching", Journal of Algorithms 12, 1991; Gronlund et
al., "Fast exact k-means, k-medians and Bregman divergence clustering in 1D", arXiv 1701.07204,
section 2.2.
"""

import numpy as np


def best_intervals(values: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Return where the clusters begin that have the least sum of w (x - mean of its cluster)^2.

    Args:
        values: (rows, n) floats, ascending in each row; n >= 1.
        weights: (rows, n) of each, >= 0.
        count: clusters of a row, in [1, n].

    Returns:
        (rows, count) integers, index of the first number of each cluster; ascending, the first 0.

    Example:
        >>> x = np.array([[0.0, 1.0, 5.0, 6.0, 20.0]])
        >>> best_intervals(x, np.ones_like(x), 3).tolist()
        [[0, 2, 4]]
    """
    rows, n = values.shape
    centred = values - values.mean(axis=1, keepdims=True)  # differences of small squares
    sums = [_prefix(weights * centred**power) for power in range(3)]
    best = _cost(sums, np.zeros((rows, n), int), np.broadcast_to(np.arange(n), (rows, n)))
    firsts = np.zeros((count, rows, n), int)
    for cluster in range(1, count):
        best, firsts[cluster] = _one_more(best, sums, cluster)
    begins = np.zeros((rows, count), int)
    last = np.full(rows, n - 1)
    for cluster in range(count - 1, 0, -1):
        begins[:, cluster] = firsts[cluster, np.arange(rows), last]
        last = begins[:, cluster] - 1
    return begins


def _prefix(values: np.ndarray) -> np.ndarray:
    return np.pad(np.cumsum(values, axis=1), ((0, 0), (1, 0)))


def _cost(sums: list[np.ndarray], begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the cost of numbers begin..end (inclusive) of each row in one cluster."""
    row = np.arange(len(begin)).reshape(-1, *(1,) * (begin.ndim - 1))
    return _difference(sums, row, begin, end)


def _difference(
    sums: list[np.ndarray], row: np.ndarray, begin: np.ndarray, end: np.ndarray
) -> np.ndarray:
    weight, first, second = (total[row, end + 1] - total[row, begin] for total in sums)
    mean_square = np.divide(first**2, weight, out=np.zeros_like(first), where=weight > 0)
    return np.maximum(second - mean_square, 0.0)


def _one_more(
    before: np.ndarray, sums: list[np.ndarray], cluster: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the least costs with one cluster more, and where the last cluster then begins.

    Args:
        before: (rows, n) least cost of numbers 0..j in `cluster` clusters.
        sums: prefix sums.
        cluster: number of the new one; it begins at `cluster` or later, so that none is empty.
    """
    rows, n = before.shape
    cost = np.full((rows, n), np.inf)
    first = np.full((rows, n), cluster)
    step = 1 << max(n - 1, 1).bit_length()
    done = np.zeros(n, bool)
    while step:
        ends = np.arange(step - 1, n, 2 * step)  # between those of the depths before
        ends = ends[ends >= cluster]
        if ends.size:
            low, high = _bounds(first, done, ends, step, cluster)
            cost[:, ends], first[:, ends] = _best_begin(before, sums, ends, low, high)
            done[ends] = True
        step //= 2
    return cost, first


def _bounds(
    first: np.ndarray, done: np.ndarray, ends: np.ndarray, step: int, cluster: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest begin that is possible for each end, from those beside."""
    n = done.size
    left, right = ends - step, ends + step
    known_left = (left >= 0) & done[np.maximum(left, 0)]
    known_right = (right < n) & done[np.minimum(right, n - 1)]
    low = np.where(known_left, first[:, np.maximum(left, 0)], cluster)
    high = np.where(known_right, first[:, np.minimum(right, n - 1)], ends)
    return low, np.minimum(high, ends)


def _best_begin(
    before: np.ndarray,
    sums: list[np.ndarray],
    ends: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return least cost and begin for each row and end, each begin in [low, high] tried."""
    lengths = (high - low + 1).ravel()
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    which = np.repeat(np.arange(lengths.size), lengths)
    begin = np.arange(which.size) - starts[which] + low.ravel()[which]
    row, end = which // ends.size, ends[which % ends.size]
    cost = before[row, begin - 1] + _difference(sums, row, begin, end)
    least = np.minimum.reduceat(cost, starts)
    at = np.where(cost == least[which], begin, before.shape[1])
    return least.reshape(low.shape), np.minimum.reduceat(at, starts).reshape(low.shape)
