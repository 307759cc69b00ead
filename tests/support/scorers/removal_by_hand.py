"""Greedy removal, every candidate solved from the matrix itself."""

import numpy as np


def positive_definite(rng, size, groups=1):
    x = rng.normal(size=(groups, 2 * size, size)) @ rng.normal(size=(groups, size, size))
    return x.transpose(0, 2, 1) @ x / size + 0.1 * np.eye(size)


def best_loss(w, h, removed):
    """Return min (w - w')^T H (w - w') over w' that are zero where removed, by elimination."""
    removed = list(removed)
    if not removed:
        return 0.0
    inverse = np.linalg.inv(h)[np.ix_(removed, removed)]
    return float(w[removed] @ np.linalg.solve(inverse, w[removed]))


def brute_force(w, h, allowed=None):
    """Return order and losses of greedy removal, each candidate set solved from H itself."""
    removed, losses = [], []
    for _ in range(len(w)):
        left = [q for q in range(len(w)) if q not in removed]
        first = [q for q in left if allowed is None or allowed(removed, q)] or left
        totals = [best_loss(w, h, [*removed, q]) for q in first]
        losses.append(min(totals) - sum(losses))
        removed.append(first[int(np.argmin(totals))])
    return removed, losses
