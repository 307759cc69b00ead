"""The best product of two small matrices for a large one, and for what it makes of its inputs.

A layer computes X W with X (samples, d), W (d, n), and knows of its inputs the moments H = X^T X.
Of all products A B of rank r, the one that changes the outputs least,

    || X (W - A B) ||^2 = tr (W - A B)^T H (W - A B) = || L^T (W - A B) ||^2,    H = L L^T,

is the truncated singular value decomposition of X W, or of L^T W, which has the same right singular
vectors V: X W V_r V_r^T (Eckart & Young). Hence A = W V_r and B = V_r^T, without an inverse of L,
so that inputs that depend on each other do no harm. V are the eigenvectors of W^T H W, (n, n);
where d < n, they are taken from the decomposition of L^T W, (d, n). H = 1 without data: plain SVD.

A share of 1e-9 of the mean of its diagonal is added to H: where the inputs say nothing, the
weights decide, and full rank gives W. A and B are scaled to columns and rows of the same norm, so
that both learn at the same rate.

Time O(d^2 n) and memory O(d^2). TensorLy is not used for this or for `tucker`: each method is a few
lines of NumPy here, which know H, and what it has of them (SVD, partial Tucker) does not.

Source: Denton et al., "Exploiting Linear Structure Within Convolutional Networks for Efficient
Evaluation", NeurIPS 2014 (arXiv 1404.0736), section 3; with H, Zhang et al., "Accelerating Very
Deep Convolutional Networks for Classification and Detection" (arXiv 1505.06798), section 2.1.

Deviation: Zhang et al. subtract the mean of the responses and fit the bias; here it stays.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

_DAMPING = 1e-9  # of the mean of the diagonal

Ranks = tuple[int, ...]
Moments = np.ndarray | None  # (d, d), or (d,) where it is diagonal; None for the identity


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """A kernel that can become a product of smaller ones.

    Attributes:
        ranks: from the smallest to the full ones, which lose nothing.
        losses: of each, the share that is lost of the squared outputs, in [0, 1]: exact where the
            factors of that rank are known to be the best, a bound or an estimate elsewhere.
        factors: ranks -> kernels of the layers, first to last, and the relative error: the norm
            of what is lost of the outputs (of the weights, without data) over the norm of all.
    """

    ranks: Sequence[Ranks]
    losses: np.ndarray
    factors: Callable[[Ranks], tuple[list[np.ndarray], float]]


@dataclasses.dataclass(frozen=True, eq=False)
class Spectrum:
    """The singular values of X W, and its right singular vectors.

    Attributes:
        matrix: W, (d, n).
        directions: V, (n, k), orthonormal columns, k = min(d, n).
        energies: (k,) squared singular values, falling.
    """

    matrix: np.ndarray
    directions: np.ndarray
    energies: np.ndarray

    @property
    def losses(self) -> np.ndarray:
        """The share of the energy that ranks 1 to k lose, (k,)."""
        left = np.cumsum(self.energies[::-1])[::-1]
        return np.append(left[1:], 0.0) / (left[0] or 1.0)

    def factors(self, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """Return A (d, rank) and B (rank, n)."""
        right = self.directions[:, :rank]
        left = self.matrix @ right
        scale = np.sqrt(np.linalg.norm(left, axis=0))
        scale = np.where(scale > 0, scale, 1.0)
        return left / scale, (right * scale).T


def spectrum(matrix: np.ndarray, moments: Moments = None) -> Spectrum:
    """Return the singular values of what a matrix makes of its inputs.

    Args:
        matrix: W, (d, n).
        moments: H, (d, d), or its diagonal (d,).

    Example:
        >>> found = spectrum(np.diag([3.0, 2.0, 1.0]), np.array([0.0, 1.0, 4.0]))
        >>> found.energies.round(6).tolist(), [w.shape for w in found.factors(1)]
        ([4.0, 4.0, 0.0], [(3, 1), (1, 3)])
    """
    w = np.asarray(matrix, np.float64)
    h = _damped(moments)
    if w.shape[1] <= w.shape[0]:
        energies, directions = np.linalg.eigh(w.T @ weighted(h, w))
        energies, directions = energies[::-1], directions[:, ::-1]
    else:
        _, values, rows = np.linalg.svd(_root(h, w), full_matrices=False)
        energies, directions = values**2, rows.T
    return Spectrum(w, directions, np.maximum(energies, 0.0))


def split(matrix: np.ndarray, moments: Moments = None) -> Split:
    """Return how a matrix becomes a product of two.

    Args:
        matrix: W, (d, n).
        moments: of its inputs, H.

    Example:
        >>> found = split(np.ones((4, 3)))
        >>> found.ranks, found.losses.round(6).tolist()
        ([(1,), (2,), (3,)], [0.0, 0.0, 0.0])
    """
    found = spectrum(matrix, moments)

    def factors(ranks: Ranks) -> tuple[list[np.ndarray], float]:
        a, b = found.factors(*ranks)
        return [a, b], relative_error(found.matrix, a @ b, moments)

    return Split(ranks_up_to(found.energies.size), found.losses, factors)


def ranks_up_to(full: int) -> list[Ranks]:
    """Return all ranks of one number.

    Example:
        >>> ranks_up_to(2)
        [(1,), (2,)]
    """
    return [(rank,) for rank in range(1, full + 1)]


def weighted(moments: Moments, matrix: np.ndarray) -> np.ndarray:
    """Return H W."""
    if moments is None:
        return matrix
    return moments[:, None] * matrix if moments.ndim == 1 else moments @ matrix


def relative_error(wanted: np.ndarray, got: np.ndarray, moments: Moments) -> float:
    """Return || X (wanted - got) || / || X wanted ||; 0 where both are zero.

    Example:
        >>> relative_error(np.array([[3.0], [4.0]]), np.array([[3.0], [0.0]]), None)
        0.8
    """
    off = wanted - got
    lost = float(np.sum(off * weighted(moments, off)))
    whole = float(np.sum(wanted * weighted(moments, wanted)))
    return float(np.sqrt(max(lost, 0.0) / whole)) if whole > 0 else 0.0


def refitted(
    inner: np.ndarray, first: np.ndarray, wanted: np.ndarray, moments: np.ndarray
) -> np.ndarray:
    """Return the C for which || X (wanted - P C) || is least, by its normal equations.

    Args:
        inner: P, (d, k).
        first: C to begin with, (k, n), which stays where the inputs say nothing.
        wanted: (d, n).
        moments: H, (d, d).
    """
    weighed = moments @ inner
    gram = inner.T @ weighed
    gram[np.diag_indices_from(gram)] += _DAMPING * max(np.trace(gram) / len(gram), 1e-300)
    return first + np.linalg.solve(gram, weighed.T @ (wanted - inner @ first))


def _damped(moments: Moments) -> Moments:
    if moments is None:
        return None
    h = np.asarray(moments, np.float64)
    if h.ndim == 1:
        return h + _DAMPING * h.mean()
    return h + _DAMPING * np.trace(h) / len(h) * np.eye(len(h))


def _root(moments: Moments, matrix: np.ndarray) -> np.ndarray:
    """Return L^T W."""
    if moments is None:
        return matrix
    if moments.ndim == 1:
        return np.sqrt(moments)[:, None] * matrix
    values, vectors = np.linalg.eigh(moments)
    return np.sqrt(np.maximum(values, 0.0))[:, None] * (vectors.T @ matrix)
