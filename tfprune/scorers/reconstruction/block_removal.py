"""Greedy exact removal of blocks of inputs from a quadratic, for all outputs together."""

import numpy as np


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

    Source: Frantar & Alistarh, "Optimal Brain Compression", NeurIPS 2022 (arXiv 2208.11580),
    section 4.

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
