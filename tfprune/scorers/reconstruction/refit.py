"""Least squares for the kept weights: the same output as before from fewer inputs.

For a row of weights w and the loss (w - w')^T H (w - w'), the best w' that is zero outside the kept
set K, Q being the rest, is w'_K = w_K + (H_KK)^-1 H_KQ w_Q.

Source: Frantar & Alistarh, "Optimal Brain Compression", NeurIPS 2022 (arXiv 2208.11580), section 3:
the joint solution of which the greedy updates are the steps.
Complexity: one Cholesky factorization, |K|^3 / 3 operations, a distinct K, not a row. Memory: a few
matrices (d, d); for small d up to `memory` bytes of rows solved side by side.
"""

import numpy as np
import scipy.linalg

_SMALL = 64  # up to this d, rows are solved side by side


def refit_rows(
    weights: np.ndarray,
    kept: np.ndarray,
    moments: np.ndarray,
    slice_of_row: np.ndarray,
    *,
    memory: int = 1 << 26,
) -> np.ndarray:
    """Return the rows that minimize (w - w')^T H (w - w') with w' zero where not kept.

    Args:
        weights: (rows, d) float64, w.
        kept: (rows, d) boolean.
        moments: (slices, d, d), H of each slice, symmetric positive definite.
        slice_of_row: (rows,) the slice whose H a row has.
        memory: bytes of work arrays.

    Returns:
        (rows, d) float64, w'.

    Source: see the module's docstring.

    Example:
        >>> refit_rows(np.array([[1.0, 1.0]]), np.array([[True, False]]),
        ...            np.array([[[2.0, 1.0], [1.0, 2.0]]]), np.zeros(1, int))
        array([[1.5, 0. ]])
    """
    new = np.where(kept, weights, 0.0)
    if weights.shape[1] <= _SMALL:
        step = max(1, memory // (16 * weights.shape[1] ** 2))
        for start in range(0, len(weights), step):
            part = slice(start, start + step)
            new[part] += _side_by_side(weights[part], kept[part], moments, slice_of_row[part])
        return new
    for number in np.unique(slice_of_row):
        rows = np.flatnonzero(slice_of_row == number)
        patterns, same = np.unique(np.packbits(kept[rows], axis=1), axis=0, return_inverse=True)
        for index in range(len(patterns)):
            alike = rows[same.reshape(-1) == index]
            new[alike] += _together(weights[alike], kept[alike[0]], moments[number])
    return new


def _together(weights: np.ndarray, kept: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Return the changes of rows that keep the same inputs."""
    change = np.zeros_like(weights)
    if kept.any() and not kept.all():
        lost = weights[:, ~kept] @ h[np.ix_(~kept, kept)]
        # The inputs are finite by construction: skipping their check saves a pass.
        factor = scipy.linalg.cho_factor(
            h[np.ix_(kept, kept)], lower=True, overwrite_a=True, check_finite=False
        )
        change[:, kept] = scipy.linalg.cho_solve(factor, lost.T, check_finite=False).T
    return change


def _side_by_side(
    weights: np.ndarray, kept: np.ndarray, moments: np.ndarray, slice_of_row: np.ndarray
) -> np.ndarray:
    """Return the changes of rows that keep inputs of their own, by one batched solution.

    Rows and columns of H outside K are replaced by those of the identity, which leaves the
    equations of K as they are.
    """
    h = moments[slice_of_row]
    lost = np.einsum("rq,rqk->rk", np.where(kept, 0.0, weights), h)
    h *= kept[:, :, None] & kept[:, None, :]
    h += np.eye(h.shape[1]) * ~kept[:, :, None]
    return np.linalg.solve(h, np.where(kept, lost, 0.0)[..., None])[..., 0]
