"""Two published ways to the inverse-Fisher diagonal, written from their formulas, in float32.

Both work on blocks of columns of gradients G (N, d), as `inverse_fisher_diagonal` does.
"""

from collections.abc import Iterator

import numpy as np
from scipy.linalg import blas


def recursion(gradients: np.ndarray, damping: float, blocks: list[tuple[int, int]]) -> np.ndarray:
    """Return the diagonals by rank-one updates, arXiv 2004.14340, equation 4.

    F_0^-1 = I / lambda, F_n^-1 = F_{n-1}^-1 - u u^T / (N + g_n^T u) with u = F_{n-1}^-1 g_n; N
    updates of a B x B matrix a block.

    Args:
        gradients: (N, d) float32.
        damping: lambda > 0.
        blocks: (start, stop) of the blocks to compute.

    Returns:
        The diagonals of the blocks, joined, float32.
    """
    found = []
    for part in _parts(gradients, blocks):
        inverse = np.asfortranarray(np.eye(part.shape[1], dtype=np.float32) / np.float32(damping))
        for g in part:
            u = blas.ssymv(1.0, inverse, g)
            scale = -1.0 / (len(part) + float(g @ u))
            inverse = blas.ssyr(scale, u, a=inverse, overwrite_a=True)
        found.append(np.diagonal(inverse).copy())
    return np.concatenate(found)


def dynamic(gradients: np.ndarray, damping: float, blocks: list[tuple[int, int]]) -> np.ndarray:
    """Return the diagonals by M-FAC's dynamic form, arXiv 2107.03356, section 3.3.

    With v_i = F_{i-1}^-1 g_i = sum_k c_ik g_k, all that depends on d are the products g_i^T g_j:

        b_ij = g_i^T F_{i-1}^-1 g_j = g_i^T g_j / lambda - sum_{k<i} b_ki b_kj / (N + b_kk)
        c_i  = e_i / lambda - sum_{k<i} b_ki / (N + b_kk) c_k
        diag = 1 / lambda - sum_i v_i^2 / (N + b_ii),

    N matrix-vector products of up to N x N for b and for c, and a matrix product of C with G.

    Args, Returns: as in `recursion`.
    """
    found = []
    for part in _parts(gradients, blocks):
        examples = len(part)
        b = part @ part.T / np.float32(damping)
        c = np.eye(examples, dtype=np.float32) / np.float32(damping)
        for i in range(1, examples):
            shares = b[:i, i] / (examples + np.diagonal(b)[:i])
            b[i, i:] -= shares @ b[:i, i:]
            c[i, :i] -= shares @ c[:i, :i]
        v = c @ part
        found.append(1 / damping - (1.0 / (examples + np.diagonal(b))) @ np.square(v))
    return np.concatenate(found).astype(np.float32)


def _parts(gradients: np.ndarray, blocks: list[tuple[int, int]]) -> Iterator[np.ndarray]:
    for start, stop in blocks:
        yield np.ascontiguousarray(gradients[:, start:stop])
