"""One block of the damped empirical Fisher, factorised: what `inverse_fisher` is built on.

Gradients are anything with a `shape` (N, d) that gives an array for `columns[:, start:stop]` and
`columns[low:high, start:stop]`: an array, a memory map, or columns gathered from several weights.
They are read in pieces of bounded size, once for the Gram matrix and again for the solves.
"""

import dataclasses
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from scipy import linalg
from scipy.linalg import blas, lapack

_PIECE = 1 << 24  # bytes of float64 gradients held at a time
_LEAF = 64  # triangular solves up to this size are left to BLAS
_CANCELLED = 1e-6  # a difference from 1 this small has lost 10 of its 16 digits


class ExampleGradients(Protocol):
    """Gradients (N, d), one row an example, read in pieces: an array, a memory map, `Columns`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, d)."""

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        """Return some rows of some columns."""


@dataclasses.dataclass(frozen=True)
class Factor:
    """F^-1 of columns `start:stop`, as (I - X^T X) / damping (dual) or X^T X (primal).

    Attributes:
        columns: gradients (N, d).
        start, stop: the block.
        damping: lambda > 0.
        dual: which of the two forms.
        root: dual: the lower triangle L of K = L L^T, X = L^-1 G; primal: X itself, (B, B).
        rounded: the damping was lost in rounding; `root` comes from eigenvalues raised to at least
            the damping. In the dual form it is R with K^-1 = R R^T, so that X = R^T G.
    """

    columns: ExampleGradients
    start: int
    stop: int
    damping: float
    dual: bool
    root: np.ndarray
    rounded: bool

    def whitened(
        self, ends: np.ndarray | None = None, size: int = _PIECE
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield (low, high, X^T of columns low:high of the gradients), consecutive pieces.

        Args:
            ends: columns where a piece may end; any by default.
            size: bytes of a piece, exceeded where the columns between two ends take more.
        """
        for low, high in pieces(self.start, self.stop, len(self.root), ends, size):
            if not self.dual:
                yield low, high, self.root[:, low - self.start : high - self.start].T
                continue
            piece = read(self.columns, low, high).T
            if self.rounded:
                piece = piece @ self.root
            else:
                _substitute(self.root, piece)
            yield low, high, piece

    def diagonal(self) -> np.ndarray:
        """Return diag F^-1, (B,)."""
        found = np.empty(self.stop - self.start)
        for low, high, x in self.whitened():
            squares = np.einsum("bn,bn->b", x, x)
            if self.dual:
                del x
                squares = positive_gap(1.0 - squares, self.columns, low, self.damping)
                squares /= self.damping
            found[low - self.start : high - self.start] = squares
        return found

    def among(self, x: np.ndarray) -> np.ndarray:
        """Return [F^-1]_QQ (..., q, q) of coordinates Q whose rows of X^T are `x` (..., q, n)."""
        products = x @ np.swapaxes(x, -1, -2)
        if self.dual:
            products = (np.eye(x.shape[-2]) - products) / self.damping
        return positive(products)

    def pull(self, v: np.ndarray) -> np.ndarray:
        """Return F^-1 G^T v / N, (B,), for v (N,): G^T K^-1 v in the dual form."""
        if self.dual:
            return self._transposed(self._solve_kernel(v))
        return self.root.T @ (self.root @ (self._transposed(v) / v.size))

    def solve(self, x: np.ndarray) -> np.ndarray:
        """Return F^-1 x, (B,), with one step of iterative refinement where it can converge."""
        found = self._solve(x)
        return found if self.rounded else found + self._solve(x - self.multiply(found))

    def multiply(self, x: np.ndarray) -> np.ndarray:
        """Return F x = lambda x + G^T (G x) / N, (B,)."""
        return self.damping * x + self._transposed(self._project(x)) / self.columns.shape[0]

    def _solve(self, x: np.ndarray) -> np.ndarray:
        if not self.dual:
            return self.root.T @ (self.root @ x)
        return (x - self._transposed(self._solve_kernel(self._project(x)))) / self.damping

    def _solve_kernel(self, v: np.ndarray) -> np.ndarray:
        """Return K^-1 v, (N,)."""
        if self.rounded:
            return self.root @ (self.root.T @ v)
        return linalg.cho_solve((self.root, True), v, check_finite=False)

    def _project(self, x: np.ndarray) -> np.ndarray:
        """Return G x, (N,)."""
        found = np.zeros(self.columns.shape[0])
        for low, high in pieces(self.start, self.stop, found.size):
            found += read(self.columns, low, high) @ x[low - self.start : high - self.start]
        return found

    def _transposed(self, y: np.ndarray) -> np.ndarray:
        """Return G^T y, (B,)."""
        found = np.empty(self.stop - self.start)
        for low, high in pieces(self.start, self.stop, y.size):
            found[low - self.start : high - self.start] = y @ read(self.columns, low, high)
        return found


def factorise(columns: ExampleGradients, start: int, stop: int, damping: float) -> Factor:
    """Return the factorised Fisher of columns `start:stop` of gradients (N, d).

    Raises:
        ValueError: if a gradient of the block is NaN, infinite, or too large to be squared.
    """
    dual = columns.shape[0] < stop - start
    shift = columns.shape[0] * damping if dual else damping
    matrix = gram(columns, start, stop)
    lost = shift < np.finfo(np.float64).eps * matrix.trace()
    if not lost:
        matrix.flat[:: len(matrix) + 1] += shift
        root, lost = lapack.dpotrf(matrix, lower=True, clean=True, overwrite_a=True)
    if not lost and not dual:
        root, lost = lapack.dtrtri(root, lower=True, overwrite_c=True)
    if lost:
        values, vectors = eigen(gram(columns, start, stop))
        vectors /= np.sqrt(values + shift)
        root = vectors if dual else vectors.T
    return Factor(columns, start, stop, damping, dual, root, bool(lost))


def gram(columns: ExampleGradients, start: int, stop: int) -> np.ndarray:
    """Return the lower triangle of G G^T (N, N) where N < B, else of G^T G / N (B, B)."""
    examples, size = columns.shape[0], stop - start
    side = min(examples, size)
    matrix = np.zeros((side, side), order="F")
    if examples < size:
        for low, high in pieces(start, stop, examples):
            piece = read(columns, low, high).T
            blas.dsyrk(1.0, piece, beta=1.0, c=matrix, trans=1, lower=1, overwrite_c=1)
    else:
        for low, high in pieces(0, examples, size):
            piece = np.array(columns[low:high, start:stop], np.float64, order="C").T
            blas.dsyrk(1 / examples, piece, beta=1.0, c=matrix, trans=0, lower=1, overwrite_c=1)
    check_finite(matrix.trace(), start, stop)
    return matrix


def eigen(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues >= 0 and eigenvectors (in columns) of `gram`, which is overwritten.

    Eigenvalues that rounding could have made are zero: they would outweigh a small damping.
    """
    values, vectors = linalg.eigh(matrix, lower=True, overwrite_a=True, check_finite=False)
    noise = np.finfo(np.float64).eps * len(values) * values[-1]
    return np.where(values > noise, values, 0.0), vectors


def positive_gap(
    gap: np.ndarray, columns: ExampleGradients, start: int, damping: float | np.ndarray
) -> np.ndarray:
    """Return `gap` = damping * [F^-1]_qq (..., b) of columns from `start` on, kept positive.

    [F^-1]_qq >= 1 / F_qq for every positive definite F: a bound that rounding cannot cross.
    """
    if gap.min() > _CANCELLED:
        return gap
    piece = read(columns, start, start + gap.shape[-1])
    squares = np.einsum("nb,nb->b", piece, piece) / len(piece)
    return np.clip(gap, damping / (damping + squares), 1.0)


def positive(matrices: np.ndarray) -> np.ndarray:
    """Return symmetric matrices (..., q, q), made positive definite where rounding prevented it."""
    size = matrices.shape[-1]
    noise = 2.0 * np.finfo(np.float64).eps * size * np.trace(matrices, axis1=-2, axis2=-1)
    try:
        np.linalg.cholesky(matrices - noise[..., None, None] * np.eye(size))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(matrices)
        values = np.maximum(values, 4.0 * noise[..., None])
        return (vectors * values[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return matrices


def check_finite(total: float | np.floating, start: int, stop: int) -> None:
    """Raise ValueError where a sum of squares over columns `start:stop` is not finite."""
    if not np.isfinite(total):
        raise ValueError(
            "`gradients` must be finite, and so must their squares. "
            f"Received: NaN or infinity in columns {start}:{stop}."
        )


def read(columns: ExampleGradients, low: int, high: int) -> np.ndarray:
    """Return a new float64 array (N, high - low) of columns `low:high`, in C order."""
    return np.array(columns[:, low:high], np.float64, order="C")


def pieces(
    start: int, stop: int, depth: int, ends: np.ndarray | None = None, size: int = _PIECE
) -> Iterator[tuple[int, int]]:
    """Yield consecutive ranges of `start:stop` whose float64 arrays of that depth are small."""
    width = max(1, size // (8 * depth))
    while start < stop:
        high = min(start + width, stop)
        if ends is not None:
            first, last = np.searchsorted(ends, (start, high), side="right")
            high = int(ends[max(first, last - 1)])
        yield start, high
        start = high


def _substitute(root: np.ndarray, x: np.ndarray) -> None:
    """Overwrite x (b, n), Fortran order, with x L^-T for the lower triangle L (n, n).

    Halving until `_LEAF` turns all but a sliver of the work into matrix products, which BLAS does
    a fifth faster than its own triangular solve.
    """
    size = len(root)
    if size <= _LEAF:
        blas.dtrsm(1.0, root, x, side=1, lower=1, trans_a=1, overwrite_b=1)
        return
    half = size // 2
    _substitute(root[:half, :half], x[:, :half])
    blas.dgemm(
        -1.0, x[:, :half], root[half:, :half], beta=1.0, c=x[:, half:], trans_b=1, overwrite_c=1
    )
    _substitute(root[half:, half:], x[:, half:])
