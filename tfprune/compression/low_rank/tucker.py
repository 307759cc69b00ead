"""A convolution as a 1x1 one, a smaller core, and a 1x1 one.

    W[p, c, n] = sum_st U[c, s] C[p, s, t] V[t, n]:
    1x1, inputs -> s,    k x k, s -> t,    1x1, t -> outputs,

the Tucker decomposition in the two modes of the channels, by their singular vectors (HOSVD).

With data, V are the right singular vectors of the outputs (the best for them, as in
`channel_svd`), U those of the input channels weighed by their moments, summed over the positions,
and C is the best there is for the outputs with these, by least squares.

The two ranks go together: both modes lose the same share of their energy. The losses are those of
both modes added up, an upper bound of what the decomposition loses without data.

Time O(d^2 s k^2) with data, d = positions * inputs; memory O(d^2).

Source: Kim et al., "Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile
Applications", ICLR 2016 (arXiv 1511.06530).

Deviation: the ranks come from the energy and the budget of the whole model (see `ranks`) in place
of variational Bayesian matrix factorization, which looks at one layer at a time.
"""

import numpy as np

from tfprune.compression.low_rank import matrices
from tfprune.compression.low_rank.matrices import Moments, Ranks, Split


def split(kernel: np.ndarray, moments: Moments = None) -> Split:
    """Return how a kernel becomes three, with the ranks (s, t).

    Args:
        kernel: (*positions, inputs, outputs).
        moments: of the patches, (d, d), in the order of the kernel's axes.

    Example:
        >>> found = split(np.random.default_rng(0).normal(size=(3, 3, 4, 8)))
        >>> [factor.shape for factor in found.factors((2, 3))[0]], found.ranks[-1]
        ([(1, 1, 4, 2), (3, 3, 2, 3), (1, 1, 3, 8)], (4, 8))
    """
    w = np.asarray(kernel, np.float64)
    positions, (inputs, outputs) = w.shape[:-2], w.shape[-2:]
    wanted = w.reshape(-1, outputs)
    size = len(wanted) // inputs
    by_input = w.reshape(size, inputs, outputs).transpose(1, 0, 2).reshape(inputs, -1)
    ahead = matrices.spectrum(by_input, _of_channels(size, inputs, moments))
    behind = matrices.spectrum(wanted, moments)

    def factors(ranks: Ranks) -> tuple[list[np.ndarray], float]:
        s, t = ranks
        u = np.linalg.qr(by_input @ ahead.directions[:, :s])[0]
        v = behind.directions[:, :t].T
        p = np.kron(np.eye(size), u)  # what the first layer makes of a patch
        core = p.T @ wanted @ v.T
        if moments is not None:
            core = matrices.refitted(p, core, wanted @ v.T, moments)
        error = matrices.relative_error(wanted, p @ core @ v, moments)
        ones = (1,) * len(positions)
        return [
            u.reshape(*ones, inputs, s),
            core.reshape(*positions, s, t),
            v.reshape(*ones, t, outputs),
        ], error

    ranks, losses = _together(ahead.losses, behind.losses)
    return Split(ranks, losses, factors)


def _together(first: np.ndarray, second: np.ndarray) -> tuple[list[Ranks], np.ndarray]:
    """Return pairs of ranks that lose about the same share in both modes, and their sum.

    Example:
        >>> _together(np.array([0.5, 0.0]), np.array([0.6, 0.3, 0.0]))[0]
        [(1, 1), (1, 2), (2, 2), (2, 3)]
    """
    # Losses fall with the rank: the smallest rank that loses no more than a limit.
    pairs: set[tuple[int, int]] = set()
    for limit in (*first, *second, 0.0):
        s, t = (int(np.argmax(losses <= max(limit, losses[-1]))) for losses in (first, second))
        pairs.add((s + 1, t + 1))
    pairs.add((first.size, second.size))
    found = sorted(pairs)
    losses = np.array([min(1.0, first[s - 1] + second[t - 1]) for s, t in found])
    return [*found], losses


def _of_channels(size: int, inputs: int, moments: Moments) -> Moments:
    """Return the moments of the input channels, (inputs, inputs), all positions summed."""
    if moments is None:
        return None
    return np.einsum("pcpe->ce", moments.reshape(size, inputs, size, inputs))
