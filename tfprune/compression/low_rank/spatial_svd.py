"""A convolution as a vertical one and a horizontal one.

    W[i, j, c, n] = sum_r A[i, c, r] B[j, r, n]:    h x 1, inputs -> r, then 1 x w, r -> outputs,

in closed form: the truncated singular value decomposition of W as a matrix with rows (i, c) and
columns (j, n). Padding, strides and dilation of one axis do not touch the other, so that the two
layers compute the convolution of A B exactly.

With data, no closed form is known, since the outputs add up what several columns j see. Here A
comes from the decomposition that weighs each column by the moments of what it sees, summed over
the columns, and B is then the best there is for the outputs with that A, by least squares.

Time O(d^2 r w) with data, d = h * w * inputs; memory O(d^2).

Source: Tai et al., "Convolutional Neural Networks with Low-Rank Regularization", ICLR 2016 (arXiv
1511.06067), section 2.2.

Deviation: no batch normalization is put between the two layers.
"""

import numpy as np

from tfprune.compression.low_rank import matrices
from tfprune.compression.low_rank.matrices import Moments, Ranks, Split


def split(kernel: np.ndarray, moments: Moments = None) -> Split:
    """Return how a kernel becomes two, with one rank.

    Args:
        kernel: (h, w, inputs, outputs).
        moments: of the patches, (d, d), in the order of the kernel's axes.

    Example:
        >>> found = split(np.ones((5, 3, 2, 8)))
        >>> [factor.shape for factor in found.factors((2,))[0]]
        [(5, 1, 2, 2), (1, 3, 2, 8)]
    """
    w = np.asarray(kernel, np.float64)
    high, wide, inputs, outputs = w.shape
    matrix = w.transpose(0, 2, 1, 3).reshape(high * inputs, wide * outputs)
    found = matrices.spectrum(matrix, _of_columns(w.shape, moments))

    def factors(ranks: Ranks) -> tuple[list[np.ndarray], float]:
        (rank,) = ranks
        first, second = found.factors(rank)
        a = first.reshape(high, inputs, rank)
        b = second.reshape(rank, wide, outputs).transpose(1, 0, 2).reshape(-1, outputs)
        # Row (i, j, c), column (l, r): what A makes of the patch for column l of B.
        p = np.einsum("icr,jl->ijclr", a, np.eye(wide)).reshape(-1, wide * rank)
        wanted = w.reshape(-1, outputs)
        if moments is not None:
            b = matrices.refitted(p, b, wanted, moments)
        error = matrices.relative_error(wanted, p @ b, moments)
        return [a[:, None], b.reshape(1, wide, rank, outputs)], error

    return Split(matrices.ranks_up_to(found.energies.size), found.losses, factors)


def _of_columns(shape: tuple[int, ...], moments: Moments) -> Moments:
    """Return the moments of one column of the patches, (h * inputs, h * inputs), all summed."""
    if moments is None:
        return None
    high, wide, inputs, _ = shape
    h = moments.reshape(high, wide, inputs, high, wide, inputs)
    return np.einsum("ijckje->icke", h).reshape(high * inputs, high * inputs)
