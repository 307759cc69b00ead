"""Greedy removal of weights from a quadratic: the optimal brain surgeon, a few weights at a time.

For a row of weights w (d,) and the loss (w - w')^T H (w - w'), each step removes the weight q whose
removal costs least after the best change of the others,

    q = argmin w_q^2 / [H^-1]_qq,   w -= w_q / [H^-1]_qq [H^-1]_:q,
    H^-1 -= [H^-1]_:q [H^-1]_q: / [H^-1]_qq,

H^-1 being that of the remaining weights. The last line over all steps is a pivoted Cholesky
factorization of the first H^-1, so that the steps need not touch the whole matrix: the columns
u = [H^-1]_:q / sqrt([H^-1]_qq) are kept aside until a quarter of the weights is gone, and one
matrix product then subtracts them from what remains of H^-1, compacted to the weights that are
left. A step takes the cheapest `_SHARE` of the weights that are left, each after those that are
cheaper, which makes it a few matrix products; below 2 / `_SHARE` weights it takes one. Rows are
independent and go through the steps side by side.

Source: Hassibi & Stork, "Second order derivatives for network pruning: optimal brain surgeon",
NIPS 1992; row by row on layer inputs: Frantar & Alistarh, "Optimal Brain Compression", NeurIPS 2022
(arXiv 2208.11580), algorithm 1.
Complexity: 2/3 d^3 operations a row in matrix products; memory 2 d^2 numbers a row in work, of
which as many rows are taken at a time as fit in `memory`.
Deviations: columns are deferred and steps joined as above. The losses are exact for the order
taken; the order within a step is that of the costs before it. Losses lack the factor 1/2.
Numerics: from [H^-1]_qq at the start a diagonal entry falls to 1 / H_qq at least, by subtraction,
so that what rounding leaves of the last steps gets worse with the largest [H^-1]_qq H_qq, about as
its square: at 300, usual with a damping of 0.01, losses in single precision add up to within 1e-4.
Up to 1,000 single precision is used, where d is large enough for it to pay.
"""

import dataclasses
import math

import numpy as np

_SHARE = 1 / 64  # of the weights that are left: how many go in one step
_DEFERRED = 1 / 4  # of the weights that are left: how many go before H^-1 is brought up to date
_FEWEST = 64  # columns aside at least
_MEMORY = 1 << 24  # bytes of work arrays
_STEP = 7e6  # operations in whose time a step calls what it needs
_DOUBLE = 128  # inputs up to which double precision costs little
_INFLATION = 1e3  # largest [H^-1]_qq H_qq in single precision


@dataclasses.dataclass(frozen=True)
class Quotas:
    """How many weights may go first from each set of a row, as an N:M pattern prescribes.

    Attributes:
        labels: (rows, d) integers in [0, sets), the set that each weight belongs to.
        allowed: (rows, sets) integers, weights to remove from each set.
    """

    labels: np.ndarray
    allowed: np.ndarray


def remove_elements(
    weights: np.ndarray,
    moments: np.ndarray,
    slice_of_row: np.ndarray,
    *,
    quotas: Quotas | None = None,
    memory: int = _MEMORY,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the order in which the weights of each row are removed, and the loss of each step.

    Args:
        weights: (rows, d) float64.
        moments: (slices, d, d) float64, H of each slice, symmetric positive definite.
        slice_of_row: (rows,) the slice whose H a row has.
        quotas: removals that come first; after them the others follow. None for no restriction.
        memory: bytes of work arrays, a single row's at least; what fits in a cache is fastest.

    Returns:
        order: (rows, d), order[i, k] = the weight of row i that goes in step k.
        losses: (rows, d) >= 0, what the step adds to the loss.

    Source: see the module's docstring.

    Example:
        >>> order, losses = remove_elements(
        ...     np.array([[3.0, 1.0]]), np.array([[[2.0, 1.0], [1.0, 2.0]]]), np.zeros(1, int)
        ... )
        >>> order.tolist(), losses.round(6).tolist()
        ([[1, 0]], [[1.5, 24.5]])
    """
    rows, size = weights.shape
    order, losses = np.empty((rows, size), np.int64), np.empty((rows, size))
    inverses = np.linalg.inv(moments)
    dtype = _precision(moments, inverses)
    # Near 1, squares stay within the range of single precision.
    unit = np.diagonal(inverses, axis1=1, axis2=2).mean()
    largest = np.abs(weights).max(initial=0.0) or 1.0
    inverses = (inverses / unit).astype(dtype)
    step = max(1, memory // (dtype.itemsize * size * max(size, _FEWEST)))
    for start in range(0, rows, step):
        part = slice(start, start + step)
        own = quotas and Quotas(quotas.labels[part], quotas.allowed[part])
        scaled = (weights[part] / largest).astype(dtype)
        state, done = _Rows(scaled, inverses, slice_of_row[part], own), 0
        while done < size:
            removed, loss = state.remove()
            stop = done + removed.shape[1]
            order[part, done:stop], losses[part, done:stop] = removed, loss
            done = stop
    return order, losses * (largest**2 / unit)


def elements_work(slices: int, rows: int, size: int) -> float:
    """Return about how many operations of matrix products `remove_elements` takes the time of.

    Args:
        slices, rows, size: of the problem: H is (slices, size, size), and there are so many rows.

    Example:
        >>> f"{elements_work(1, 100, 1000):.0e}"
        '1e+11'
    """
    parts = math.ceil(rows * 4 * size * max(size, _FEWEST) / _MEMORY)
    steps = size if size < 2 / _SHARE else 2 / _SHARE + math.log(size * _SHARE / 2) / _SHARE
    return 0.65 * rows * size**3 + _STEP * parts * steps


def _precision(moments: np.ndarray, inverses: np.ndarray) -> np.dtype:
    inflation = np.diagonal(moments, axis1=1, axis2=2) * np.diagonal(inverses, axis1=1, axis2=2)
    single = moments.shape[1] > _DOUBLE and inflation.max() < _INFLATION
    return np.dtype(np.float32 if single else np.float64)


class _Rows:
    """Rows on their way: the weights left, and H^-1 as `base` minus the columns kept aside."""

    def __init__(
        self, weights: np.ndarray, shared: np.ndarray, slices: np.ndarray, quotas: Quotas | None
    ):
        self.rows = np.arange(len(weights))[:, None]
        self.w = weights
        self.left = np.broadcast_to(np.arange(weights.shape[1]), weights.shape)
        self.base, self.owner = shared, slices[:, None]  # one matrix a slice, later one a row
        self.floor = 2 * np.finfo(weights.dtype).eps * _diagonal(shared)[slices]
        self.labels = None if quotas is None else quotas.labels
        self.allowed = None if quotas is None else quotas.allowed.copy()
        self._open_columns()

    def _open_columns(self) -> None:
        count, size = self.w.shape
        self.room, self.done = min(max(_FEWEST, int(size * _DEFERRED)), size), 0
        self.aside = np.empty((count, self.room, size), self.w.dtype)
        self.gone = np.zeros((count, size), bool)
        self.diagonal = np.maximum(_diagonal(self.base)[self.owner[:, 0]], self.floor)

    def remove(self) -> tuple[np.ndarray, np.ndarray]:
        """Remove the cheapest weights of each row; return which, and their losses, (rows, k)."""
        q = self._cheapest()
        columns = self._columns(q)
        root = self._root(columns, q)
        if root is None:
            q, columns = q[:, :1], columns[:, :1]
            root = self._floored_root(columns, q)
        columns = root @ columns
        paid = (root @ _at(self.w, q)[..., None])[..., 0]
        removed, stop = _at(self.left, q), self.done + q.shape[1]
        self.aside[:, self.done : stop] = columns
        self.w = self.w - (paid[:, None] @ columns)[:, 0]
        np.put_along_axis(self.w, q, 0.0, axis=1)
        lost = np.einsum("rkd,rkd->rd", columns, columns)
        self.diagonal = np.maximum(self.diagonal - lost, self.floor)
        np.put_along_axis(self.gone, q, True, axis=1)
        if self.labels is not None and self.allowed is not None:
            np.subtract.at(self.allowed, (self.rows, _at(self.labels, q)), 1)
        self.done = stop
        if self.done == self.room < self.w.shape[1]:
            self._compact()
        return removed, paid.astype(np.float64) ** 2

    def _cheapest(self) -> np.ndarray:
        """Return the weights of each row that go next (rows, k), the cheapest first."""
        left = self.w.shape[1] - self.done
        most = min(max(1, int(left * _SHARE)), self.room - self.done)
        cost = self.w**2 / self.diagonal
        cost[self.gone] = np.inf
        if self.labels is not None and self.allowed is not None:
            cost = _restricted(cost, self.labels, self.allowed)
            most = min(most, int(np.isfinite(cost).sum(axis=1).min()))
        if most == 1:
            return np.argmin(cost, axis=1)[:, None]
        q = np.argpartition(cost, most - 1, axis=1)[:, :most]
        return _at(q, np.argsort(_at(cost, q), axis=1))

    def _columns(self, q: np.ndarray) -> np.ndarray:
        """Return the columns q of H^-1 as it is now, (rows, k, weights)."""
        columns = self.base[self.owner, q]
        if self.done:
            aside = self.aside[:, : self.done]
            chosen = np.take_along_axis(aside, q[:, None], axis=2)
            columns = columns - chosen.transpose(0, 2, 1) @ aside
        return columns

    def _root(self, columns: np.ndarray, q: np.ndarray) -> np.ndarray | None:
        """Return R (rows, k, k), R [H^-1]_qq R^T = I; None where rounding left nothing positive."""
        if q.shape[1] == 1:
            return self._floored_root(columns, q)
        try:
            factor = np.linalg.cholesky(np.take_along_axis(columns, q[:, None], axis=2))
        except np.linalg.LinAlgError:
            return None
        return np.linalg.inv(factor)

    def _floored_root(self, columns: np.ndarray, q: np.ndarray) -> np.ndarray:
        pivot = np.maximum(_at(columns[:, 0], q), _at(self.floor, q))
        return 1.0 / np.sqrt(pivot)[..., None]

    def _compact(self) -> None:
        """Subtract the columns from H^-1 and drop the weights that are gone."""
        count = len(self.w)
        stay = np.nonzero(~self.gone)[1].reshape(count, -1)
        base = np.empty((count, stay.shape[1], stay.shape[1]), self.w.dtype)
        for row, own in enumerate(stay):
            aside = self.aside[row][:, own]
            np.matmul(aside.T, aside, out=base[row])
            held = self.base[self.owner[row, 0]]
            np.subtract(held[own][:, own], base[row], out=base[row])
        self.base, self.owner = base, self.rows
        self.left, self.w = _at(self.left, stay), _at(self.w, stay)
        self.floor = _at(self.floor, stay)
        if self.labels is not None:
            self.labels = _at(self.labels, stay)
        self._open_columns()


def _restricted(cost: np.ndarray, labels: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return costs, infinite but for the cheapest weight of each set whose quota is not used up.

    A row whose quotas are all used up is not restricted any more.
    """
    closed = _at(allowed, labels) <= 0
    open_cost = np.where(closed, np.inf, cost)
    order = np.lexsort((open_cost, labels), axis=1)
    later = np.diff(_at(labels, order), axis=1, prepend=-1) == 0
    restricted = np.empty_like(cost)
    np.put_along_axis(restricted, order, np.where(later, np.inf, _at(open_cost, order)), axis=1)
    done = np.isinf(restricted.min(axis=1))
    restricted[done] = cost[done]
    return restricted


def _at(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.take_along_axis(values, columns, axis=1)


def _diagonal(matrices: np.ndarray) -> np.ndarray:
    return np.diagonal(matrices, axis1=1, axis2=2)
