"""Greedy exact removal of weights from a quadratic: the optimal brain surgeon, one at a time.

For a row of weights w (d,) and the loss (w - w')^T H (w - w'), each step removes the weight q whose
removal costs least after the best change of the others,

    q = argmin w_q^2 / [H^-1]_qq,   w -= w_q / [H^-1]_qq [H^-1]_:q,
    H^-1 -= [H^-1]_:q [H^-1]_q: / [H^-1]_qq,

H^-1 being that of the remaining weights. The last line over all steps is a pivoted Cholesky
factorization of the first H^-1, so that the steps need not touch the whole matrix: _STEPS of them
keep their columns u = [H^-1]_:q / sqrt([H^-1]_qq) aside, and one matrix product then subtracts
them from what remains of H^-1, compacted to the weights that are left. Rows are independent and go
through the steps side by side.

Source: Hassibi & Stork, "Second order derivatives for network pruning: optimal brain surgeon",
NIPS 1992; row by row on layer inputs: Frantar & Alistarh, "Optimal Brain Compression", NeurIPS 2022
(arXiv 2208.11580), algorithm 1 and, for blocks, section 4.
Complexity: 2/3 d^3 operations a row in matrix products; memory 16 d^2 bytes a row in work, of which
as many are taken at a time as fit in `memory`.
Deviations: columns are deferred as above; losses lack the factor 1/2.
"""

import dataclasses

import numpy as np

_STEPS = 64  # steps whose columns are kept aside
_TINY = 1e-12  # of a first diagonal entry of H^-1: what rounding may leave of it


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
    inverses: np.ndarray,
    slice_of_row: np.ndarray,
    *,
    quotas: Quotas | None = None,
    memory: int = 1 << 26,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the order in which the weights of each row are removed, and the loss of each step.

    Args:
        weights: (rows, d) float64.
        inverses: (slices, d, d), H^-1 of each slice, symmetric positive definite.
        slice_of_row: (rows,) the slice whose H a row has.
        quotas: removals that come first; after them the others follow. None for no restriction.
        memory: bytes of work arrays, a single row's at least.

    Returns:
        order: (rows, d), order[i, k] = the weight of row i that goes in step k.
        losses: (rows, d) >= 0, what the step adds to the loss.

    Source: see the module's docstring.

    Example:
        >>> order, losses = remove_elements(
        ...     np.array([[3.0, 1.0]]), np.linalg.inv([[[2.0, 1.0], [1.0, 2.0]]]), np.zeros(1, int)
        ... )
        >>> order.tolist(), losses.round(6).tolist()
        ([[1, 0]], [[1.5, 24.5]])
    """
    rows, size = weights.shape
    order, losses = np.empty((rows, size), np.int64), np.empty((rows, size))
    step = max(1, memory // (16 * size * max(size, _STEPS)))
    for start in range(0, rows, step):
        part = slice(start, start + step)
        own = quotas and Quotas(quotas.labels[part], quotas.allowed[part])
        state = _Rows(weights[part], inverses, slice_of_row[part], own)
        for first in range(0, size, _STEPS):
            for k in range(first, min(first + _STEPS, size)):
                order[part, k], losses[part, k] = state.remove(k - first)
            state.compact()
    return order, losses


class _Rows:
    """Rows on their way: the weights left, and H^-1 as `base` minus the columns kept aside."""

    def __init__(
        self, weights: np.ndarray, shared: np.ndarray, slices: np.ndarray, quotas: Quotas | None
    ):
        count, size = weights.shape
        self.shared, self.slices, self.rows = shared, slices, np.arange(count)
        self.w = weights.astype(np.float64)
        self.left = np.broadcast_to(np.arange(size), weights.shape)
        self.base: np.ndarray | None = None  # before the first compaction, the shared matrices
        self.diagonal = np.diagonal(shared, axis1=1, axis2=2)[slices]
        self.floor = _TINY * self.diagonal
        self.labels = None if quotas is None else quotas.labels
        self.allowed = None if quotas is None else quotas.allowed.copy()
        self._open_columns()

    def _open_columns(self) -> None:
        count, size = self.w.shape
        self.columns = np.empty((count, min(_STEPS, size), size))
        self.gone = np.zeros((count, size), bool)

    def remove(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Remove the cheapest weight of each row; `k` columns are aside already."""
        rows = self.rows
        cost = self.w**2 / self.diagonal
        cost[self.gone] = np.inf
        q = np.argmin(self._restricted(cost), axis=1)
        left = self.left[rows, q]
        if self.base is None:
            column = self.shared[self.slices[:, None], left[:, None], self.left]
        else:
            column = self.base[rows, q]
        aside = self.columns[:, :k]
        column = column - (self.columns[rows, :k, q][:, None, :] @ aside)[:, 0]
        pivot = np.maximum(column[rows, q], self.floor[rows, q])
        factor = self.w[rows, q] / pivot
        loss = factor * self.w[rows, q]
        self.w -= factor[:, None] * column
        self.w[rows, q] = 0.0
        column /= np.sqrt(pivot)[:, None]
        self.columns[:, k] = column
        self.diagonal = np.maximum(self.diagonal - column**2, self.floor)
        self.gone[rows, q] = True
        if self.labels is not None and self.allowed is not None:
            self.allowed[rows, self.labels[rows, q]] -= 1
        return left, loss

    def _restricted(self, cost: np.ndarray) -> np.ndarray:
        """Return the costs, infinite where a quota is used up, unless it is in the whole row."""
        if self.labels is None or self.allowed is None:
            return cost
        closed = np.take_along_axis(self.allowed, self.labels, axis=1) <= 0
        restricted = np.where(closed, np.inf, cost)
        done = np.isinf(restricted.min(axis=1))
        restricted[done] = cost[done]
        return restricted

    def compact(self) -> None:
        """Subtract the columns from H^-1 and drop the weights that are gone."""
        count = len(self.w)
        stay = np.nonzero(~self.gone)[1].reshape(count, -1)
        left = np.take_along_axis(self.left, stay, axis=1)
        base = np.empty((count, stay.shape[1], stay.shape[1]))
        for i in range(count):
            if self.base is None:
                base[i] = self.shared[self.slices[i]][np.ix_(left[i], left[i])]
            else:
                base[i] = self.base[i][np.ix_(stay[i], stay[i])]
            columns = self.columns[i][:, stay[i]]
            base[i] -= columns.T @ columns
        self.base, self.left = base, left
        self.w = np.take_along_axis(self.w, stay, axis=1)
        self.floor = np.take_along_axis(self.floor, stay, axis=1)
        self.diagonal = np.maximum(np.diagonal(base, axis1=1, axis2=2), self.floor)
        if self.labels is not None:
            self.labels = np.take_along_axis(self.labels, stay, axis=1)
        self._open_columns()


def remove_blocks(
    weights: np.ndarray, inverse: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the order in which blocks of inputs are removed, and the loss of each step.

    The columns of `weights` lose a block Q together: the one with the least

        sum over columns of w_Q^T ([H^-1]_QQ)^-1 w_Q, divided by the number of inputs in Q.

    Args:
        weights: (d, outputs) float64.
        inverse: (d, d), H^-1, symmetric positive definite.
        labels: (d,) integers in [0, blocks), each present: the block of each input.

    Returns:
        order: (blocks,) labels as they are removed.
        losses: (blocks,) >= 0, what the step adds to the loss.

    Source: Frantar & Alistarh (see the module's docstring), section 4.

    Example:
        >>> remove_blocks(np.array([[3.0], [1.0], [1.0]]), np.eye(3), np.array([0, 1, 1]))
        (array([1, 0]), array([2., 9.]))
    """
    w, h = weights.astype(np.float64), inverse.astype(np.float64)
    left = np.unique(labels)
    order, losses = np.empty(left.size, np.int64), np.empty(left.size)
    for k in range(left.size):
        loss, sizes = _block_losses(w, h, labels)
        best = int(np.argmin(loss / sizes))
        order[k], losses[k] = left[best], loss[best]
        members = labels == left[best]
        others = ~members
        # Solving for the whole block at once is the step q of an element, repeated in the block.
        factor = np.linalg.solve(h[np.ix_(members, members)], h[np.ix_(members, others)])
        w = w[others] - factor.T @ w[members]
        h = h[np.ix_(others, others)] - h[np.ix_(others, members)] @ factor
        labels, left = labels[others], np.delete(left, best)
    return order, losses


def _block_losses(w: np.ndarray, h: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the loss of removing each block next, in order of its label, and its size."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    sizes = np.diff(np.append(starts, labels.size))
    losses = np.empty(starts.size)
    for size in np.unique(sizes):
        same = np.flatnonzero(sizes == size)
        members = order[starts[same][:, None] + np.arange(size)]
        part = h[members[:, :, None], members[:, None, :]]
        values = w[members]
        losses[same] = np.einsum("bio,bio->b", values, np.linalg.solve(part, values))
    return np.maximum(losses, 0.0), sizes
