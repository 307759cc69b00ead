"""The inverse of the empirical Fisher in blocks, by closed forms; pure NumPy and SciPy.

For gradients G (N, d) of N examples the empirical Fisher of a block of B coordinates, damped by
lambda, is F = lambda I + G^T G / N with G (N, B) the columns of the block. The recursion over
examples of the paper (rank-one Woodbury updates) costs O(N B^2) a block in steps that stream the
B x B inverse through memory N times. The same numbers from one factorization:

    N < B  (dual)    K = N lambda I + G G^T = L L^T,    X = L^-1 G,   F^-1 = (I - X^T X) / lambda
    N >= B (primal)  F = lambda I + G^T G / N = L L^T,  X = L^-1,     F^-1 = X^T X

so that diag F^-1 is (1 - colsum(X^2)) / lambda or colsum(X^2). The dual form is the Woodbury
identity; neither form is approximate. Time O(min(N, B) N B) a block.

Numerics. All arithmetic is in float64. A rounding error E in K moves [F^-1]_qq by N u^T E u with
u = K^-1 g_q, and since N |u|^2 <= [F^-1]_qq, the relative error is at most |E| / (N lambda): about
2e-16 * |F| / lambda for both forms. In float32 the bound would be 1e-7 * |F| / lambda, which
exceeds 1e-4 as soon as the largest eigenvalue of the Fisher is a thousand times the damping (on a
trained ResNet-20 it is 1,700 to 100,000 times 1e-5); float32 gradients are therefore converted
piece by piece.

Memory beyond the gradients: one min(N, B) x min(N, B) float64 matrix (8 MB at 1,000) and one piece
of the gradients of 16 MB, whatever the size of the block. Gradients may be a `np.memmap`.

Source: Singh & Alistarh, "WoodFisher", arXiv 2004.14340, sections 3 and 4; the dual form for the
diagonal follows from their equation 4 taken for all N examples at once.
"""

from collections.abc import Sequence

import numpy as np
from scipy.linalg import lapack

from tfprune.scorers.woodfisher import factor as blocks
from tfprune.support.validation import require_integer, require_number

_SMALL = 64  # blocks up to this size are inverted in batches
_TINY = 16  # up to this size one call for a batch is faster than one call a block
_BATCH = 1 << 21  # bytes of float64 gradients of a batch: inside the processor's caches


def inverse_fisher_diagonal(
    gradients: np.ndarray, *, damping: float, block_size: int | None = None
) -> np.ndarray:
    """Return the diagonal of the inverse of the block-wise empirical Fisher.

    diag((damping * I + G_b^T G_b / N)^-1) for each block b of `block_size` consecutive columns.

    Args:
        gradients: (N, d) array or memory map, one gradient per example, finite.
        damping: lambda > 0, in units of squared gradients.
        block_size: columns a block, >= 1 (the last block may be smaller); None is one block of d.

    Returns:
        (d,) array, each in (0, 1 / damping]; float64 for float64 gradients, else float32.

    Raises:
        TypeError: if an argument is not a number or array of numbers.
        ValueError: if `gradients` is not 2-D, is empty or is not finite, `damping` <= 0 or
            `block_size` < 1.

    Source: arXiv 2004.14340, section 4, in closed form; see the head of this module.

    Example:
        >>> inverse_fisher_diagonal(np.array([[1.0, 0.0], [1.0, 0.0]]), damping=0.25).round(6)
        array([0.8, 4. ])
    """
    columns = _check_gradients(gradients)
    size, lam = _check_block_size(block_size, columns), require_number(
        "damping", damping, above=0.0
    )
    found: np.ndarray = np.empty(columns.shape[1], _result_type(columns))
    fill_diagonal(columns, size, lam, found)
    return found


def inverse_fisher_diagonals(
    gradients: np.ndarray, *, dampings: Sequence[float], block_size: int | None = None
) -> np.ndarray:
    """Return `inverse_fisher_diagonal` for several dampings from one Gram matrix a block.

    With K = V S V^T (dual) and Y = V^T G, colsum(X^2) is sum_i Y_i^2 / (S_i + N lambda), a matrix
    product with one column a damping; with G^T G / N = W S W^T (primal), diag F^-1 is
    sum_i W_i^2 / (S_i + lambda).

    Args:
        gradients, block_size: as in `inverse_fisher_diagonal`.
        dampings: k values > 0.

    Returns:
        (k, d) array; float64 for float64 gradients, else float32.

    Raises:
        TypeError, ValueError: as `inverse_fisher_diagonal`.

    Source: arXiv 2004.14340, section 4, in closed form; see the head of this module.

    Example:
        >>> gradients = np.array([[1.0, 0.0], [1.0, 0.0]])
        >>> inverse_fisher_diagonals(gradients, dampings=[0.25, 1.0]).round(6)
        array([[0.8, 4. ],
               [0.5, 1. ]])
    """
    columns = _check_gradients(gradients)
    size = _check_block_size(block_size, columns)
    lams = np.array([require_number("dampings", value, above=0.0) for value in dampings])
    if not lams.size:
        raise ValueError(f"`dampings` must not be empty. Received: dampings={dampings!r}.")
    found: np.ndarray = np.empty((lams.size, columns.shape[1]), _result_type(columns))
    examples = columns.shape[0]
    for start in range(0, columns.shape[1], size):
        stop = min(start + size, columns.shape[1])
        values, vectors = blocks.eigen(blocks.gram(columns, start, stop))
        dual = examples < stop - start
        values = values[:, None]
        if not dual:
            found[:, start:stop] = (1.0 / (values + lams)).T @ np.square(vectors).T
            continue
        shares = 1.0 / (values + examples * lams)
        for low, high in blocks.pieces(start, stop, examples):
            projected = vectors.T @ blocks.read(columns, low, high)
            gap = 1.0 - shares.T @ np.square(projected, out=projected)
            del projected
            gap = blocks.positive_gap(gap, columns, low, lams[:, None])
            found[:, low:high] = gap / lams[:, None]
    return found


def inverse_fisher_vector_product(
    gradients: np.ndarray, x: np.ndarray, *, damping: float, block_size: int | None = None
) -> np.ndarray:
    """Return F^-1 x for the block-wise empirical Fisher.

    Dual: (x - G^T K^-1 G x) / damping with K = N damping I + G G^T; primal: X^T X x. One step of
    iterative refinement removes the cancellation of the dual form.

    Args:
        gradients, damping, block_size: as in `inverse_fisher_diagonal`.
        x: (d,) array, finite.

    Returns:
        (d,) array; float64 for float64 gradients, else float32.

    Raises:
        TypeError, ValueError: as `inverse_fisher_diagonal`, and if `x` is not of shape (d,).

    Source: arXiv 2004.14340, equation 6, in closed form; see the head of this module.

    Example:
        >>> gradients = np.array([[1.0, 0.0], [1.0, 0.0]])
        >>> inverse_fisher_vector_product(gradients, np.array([5.0, 1.0]), damping=0.25).round(6)
        array([4., 4.])
    """
    columns = _check_gradients(gradients)
    size, lam = _check_block_size(block_size, columns), require_number(
        "damping", damping, above=0.0
    )
    if np.shape(x) != columns.shape[1:]:
        raise ValueError(
            f"`x` must have shape ({columns.shape[1]},), one number a column of `gradients`. "
            f"Received: shape {np.shape(x)}."
        )
    vector = np.asarray(x, np.float64)
    if not np.isfinite(vector).all():
        raise ValueError("`x` must be finite. Received: an array with NaN or infinity.")
    found: np.ndarray = np.empty(columns.shape[1], _result_type(columns))
    for start in range(0, columns.shape[1], size):
        stop = min(start + size, columns.shape[1])
        found[start:stop] = blocks.factorise(columns, start, stop, lam).solve(vector[start:stop])
    return found


def scale_free_damping(gradients: np.ndarray, fraction: float) -> float:
    """Return lambda = fraction * mean(diag G^T G / N), which follows the scale of the gradients.

    Args:
        gradients: (N, d) array or memory map, finite.
        fraction: c > 0, without unit.

    Returns:
        A damping > 0; `fraction` itself where all gradients are zero, since any damping then
        gives the same order.

    Raises:
        TypeError, ValueError: as `inverse_fisher_diagonal`.

    Example:
        >>> scale_free_damping(np.array([[1.0, 3.0]]), 0.1)
        0.5
    """
    columns, share = _check_gradients(gradients), require_number("fraction", fraction, above=0.0)
    return share * sum_of_squares(columns) / columns.size or share


def sum_of_squares(columns: blocks.ExampleGradients) -> float:
    """Return the sum of the squares of all gradients, read in pieces.

    Raises:
        ValueError: if a gradient is NaN or infinite.
    """
    examples, size = columns.shape
    total = 0.0
    for low, high in blocks.pieces(0, size, examples):
        piece = blocks.read(columns, low, high)
        total += float(np.vdot(piece, piece))
    blocks.check_finite(total, 0, size)
    return total


def fill_diagonal(
    columns: blocks.ExampleGradients, size: int, damping: float, found: np.ndarray
) -> None:
    """Fill `found` (d,) with diag F^-1 of blocks of `size` columns of gradients (N, d)."""
    done = 0
    if size <= _SMALL:
        done = found.size // size * size
        _small_blocks(columns, size, damping, found[:done])
    for start in range(done, found.size, size):
        stop = min(start + size, found.size)
        found[start:stop] = blocks.factorise(columns, start, stop, damping).diagonal()


def _small_blocks(
    columns: blocks.ExampleGradients, size: int, damping: float, found: np.ndarray
) -> None:
    """Fill `found` (a multiple of `size`) from the primal form, blocks in batches."""
    examples, width = columns.shape[0], max(1, _BATCH // (8 * columns.shape[0] * size)) * size
    rows = max(1, _BATCH * 8 // (8 * width))
    for start in range(0, found.size, width):
        stop = min(start + width, found.size)
        fisher = np.zeros(((stop - start) // size, size, size))
        for low in range(0, examples, rows):
            piece = columns[low : low + rows, start:stop]
            stacked = piece.reshape(len(piece), -1, size).transpose(1, 0, 2)
            stacked = np.array(stacked, np.float64, order="C")
            fisher += stacked.transpose(0, 2, 1) @ stacked
        blocks.check_finite(np.einsum("kii->", fisher), start, stop)
        fisher /= examples
        found[start:stop] = _inverse_diagonals(fisher, damping).ravel()


def _inverse_diagonals(matrices: np.ndarray, damping: float) -> np.ndarray:
    """Return the diagonals (k, B) of the inverses of lambda I + M for each M of (k, B, B)."""
    size = matrices.shape[-1]
    lost = damping < np.finfo(np.float64).eps * np.einsum("kii->k", matrices).max()
    if lost or size > _TINY:
        return np.stack([_inverse_diagonal(matrix, damping) for matrix in matrices])
    matrices[:, np.arange(size), np.arange(size)] += damping
    return np.diagonal(np.linalg.inv(matrices), axis1=1, axis2=2)


def _inverse_diagonal(matrix: np.ndarray, damping: float) -> np.ndarray:
    lost = damping < np.finfo(np.float64).eps * matrix.trace()
    if not lost:
        damped = matrix + damping * np.eye(len(matrix))
        root, lost = lapack.dpotrf(damped, lower=True, clean=True)
    if not lost:
        root, lost = lapack.dtrtri(root, lower=True, overwrite_c=True)
    if lost:  # the damping is below rounding
        values, vectors = blocks.eigen(matrix)
        root = (vectors / np.sqrt(values + damping)).T
    return np.einsum("ij,ij->j", root, root)


def _check_gradients(gradients: np.ndarray) -> np.ndarray:
    """Return `gradients` as an array that can be read in pieces; a memory map stays one."""
    columns = np.asarray(gradients)
    if columns.dtype.kind not in "fiu" and columns.dtype.name != "bfloat16":
        raise TypeError(
            f"`gradients` must be an array of real numbers. Received: dtype {columns.dtype}."
        )
    if columns.ndim != 2 or not columns.size:
        raise ValueError(
            "`gradients` must be of shape (N, d), one gradient of d >= 1 weights for each of "
            f"N >= 1 examples. Received: shape {columns.shape}."
        )
    return columns


def _check_block_size(block_size: int | None, columns: np.ndarray) -> int:
    if block_size is None:
        return columns.shape[1]
    return min(require_integer("block_size", block_size, minimum=1), columns.shape[1])


def _result_type(columns: np.ndarray) -> type:
    return np.float32 if columns.dtype.itemsize <= 4 and columns.dtype.kind != "i" else np.float64
