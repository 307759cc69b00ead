"""Saliency of weights that are removed together: 1/2 u_Q^T ([F^-1]_QQ)^-1 u_Q.

Removing the weights Q is the problem min 1/2 delta^T F delta subject to delta_Q = -u_Q. Its
solution is delta = -F^-1 E z with z = ([F^-1]_QQ)^-1 u_Q, where E are the unit vectors of Q, and
its value is 1/2 u_Q^T z; for a single weight, u^2 / (2 [F^-1]_qq). u is the weight itself, or w - f
where a first-order term is part of the model (see `tfprune.scorers.woodfisher.scorer`).

For an N:M pattern Q is the best of all subsets of the group that the pattern may remove, found by
trying each of them.

Source: Kurtic et al., "The Optimal BERT Surgeon", arXiv 2203.07259, section 3.2.
Time O(b q^2 N) for b groups of q weights; O(b C(q, r) r^3) more for subsets of r.
Deviations: the best subset is exact.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from tfprune.scorers.woodfisher.factor import Factor

_PIECE = 1 << 23  # bytes of whitened gradients taken at a time


def block_saliency(inverse: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return the loss of removing weights together, 1/2 u^T inverse^-1 u.

    Args:
        inverse: (..., q, q), [F^-1]_QQ, symmetric positive definite.
        u: (..., q), the weights.

    Returns:
        (...) array >= 0, in units of the loss.

    Raises:
        numpy.linalg.LinAlgError: if a matrix is singular.

    Source: arXiv 2203.07259, equation 7.

    Example:
        >>> block_saliency(np.array([[0.5, 0.0], [0.0, 0.25]]), np.array([1.0, 1.0]))
        np.float64(3.0)
    """
    return np.maximum(0.5 * np.einsum("...q,...q->...", u, multipliers(inverse, u)), 0.0)


def multipliers(inverse: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return z = inverse^-1 u (..., q)."""
    return np.linalg.solve(inverse, u[..., None])[..., 0]


def best_subset(inverse: np.ndarray, u: np.ndarray, removed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which `removed` weights of each group cost least together, and what they cost.

    Args:
        inverse: (b, q, q), [F^-1]_QQ of b groups.
        u: (b, q), the weights.
        removed: weights to remove from each group, in [1, q].

    Returns:
        Boolean array (b, q), True = remove; the first in lexicographic order among equals. Array
        (b,) of saliencies.

    Raises:
        numpy.linalg.LinAlgError: if a matrix is singular.

    Source: exhaustive search over `block_saliency`.

    Example:
        >>> best_subset(np.eye(3)[None], np.array([[3.0, 1.0, 2.0]]), 2)
        (array([[False,  True,  True]]), array([2.5]))
    """
    best = np.full(len(u), np.inf)
    chosen = np.zeros(u.shape, bool)
    for subset in itertools.combinations(range(u.shape[1]), removed):
        index = np.array(subset)
        cost = block_saliency(inverse[:, index[:, None], index], u[:, index])
        better = cost < best
        best[better] = cost[better]
        chosen[better] = np.isin(np.arange(u.shape[1]), index)
    return chosen, best


def pattern_scores(inverse: np.ndarray, u: np.ndarray, kept: int) -> np.ndarray:
    """Return element scores from which an N:M pattern removes exactly the best subset.

    The members of the best subset share its saliency equally; each kept weight scores that share
    plus its own saliency, so that it ranks above them.

    Args:
        inverse, u: as in `best_subset`.
        kept: weights that the pattern keeps in a group, >= 1.

    Returns:
        (b, q) array >= 0.

    Raises:
        numpy.linalg.LinAlgError: if a matrix is singular.

    Source: `best_subset`.

    Example:
        >>> pattern_scores(np.eye(3)[None], np.array([[3.0, 1.0, 2.0]]), 1)
        array([[5.75, 1.25, 1.25]])
    """
    own = u**2 / (2.0 * np.diagonal(inverse, axis1=1, axis2=2))
    removed = u.shape[1] - kept
    if removed <= 0:
        return own
    chosen, cost = best_subset(inverse, u, removed)
    share = (cost / removed)[:, None]
    # A kept weight of no saliency must still rank above the removed ones.
    return np.where(chosen, share, np.maximum(share + own, np.nextafter(share, np.inf)))


def group_scores(factor: Factor, ends: np.ndarray, kept: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return element scores (B,) of the groups of one block of the Fisher.

    The saliency of a group is spread evenly over its members.

    Args:
        factor: the block.
        ends: where its groups end, counted from the start of the block.
        kept: for each group, members that an N:M pattern keeps; 0 if the group goes whole.
        u: (B,), the weights.
    """
    scores = np.empty(u.size)
    for members, inverse, pattern in _batches(factor, ends, kept):
        if pattern:
            scores[members] = pattern_scores(inverse, u[members], pattern)
        else:
            share = block_saliency(inverse, u[members]) / members.shape[1]
            scores[members] = share[:, None]
    return scores


def group_multipliers(
    factor: Factor, ends: np.ndarray, removed: np.ndarray, u: np.ndarray
) -> np.ndarray:
    """Return z (B,): ([F^-1]_SS)^-1 u_S for the removed members S of each group, else 0.

    Args:
        factor, ends, u: as in `group_scores`.
        removed: (B,) boolean.
    """
    found = np.zeros(u.size)
    for members, inverse, _ in _batches(factor, ends, np.zeros(len(ends), int)):
        out = ~removed[members]
        inverse[out[:, :, None] | out[:, None, :]] = 0.0
        group, member = np.nonzero(out)
        inverse[group, member, member] = 1.0
        found[members] = multipliers(inverse, np.where(out, 0.0, u[members]))
    return found


def _batches(
    factor: Factor, ends: np.ndarray, kept: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield (members (b, q), [F^-1]_QQ (b, q, q), kept) for groups of equal size, in batches."""
    starts = np.append(0, ends[:-1])
    for low, high, x in factor.whitened(factor.start + ends, _PIECE):
        low, high = low - factor.start, high - factor.start
        first, last = np.searchsorted(starts, (low, high))
        sizes = (ends - starts)[first:last]
        for size, pattern in sorted(set(zip(sizes.tolist(), kept[first:last].tolist()))):
            same = starts[first:last][(sizes == size) & (kept[first:last] == pattern)]
            members = same[:, None] + np.arange(size)
            yield members, factor.among(x[members - low]), pattern
