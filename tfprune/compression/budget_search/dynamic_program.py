"""One option for each weight, so that all together lose least and cost no more than the limits.

    min sum_w loss_w(o_w)    subject to    sum_w cost_k(o_w) <= limit_k for each budget k

Weights are taken one after another. Of the ways to choose options for the first of them, one is
kept for each cell of a grid over their summed costs: the one that loses least. Costs themselves are
not rounded, so that what is chosen never costs more than it says. A way is dropped as soon as the
cheapest options of the weights that follow would take it past a limit.

Time O(weights * cells * options); memory O(weights * cells).

Source: Frantar & Alistarh, "SPDY: Accurate Pruning with Speedup Guarantees", ICML 2022 (arXiv
2201.13096), section 3.2.

Deviations: several budgets at once, with a coarser grid each; costs are exact within a cell, where
the paper rounds them.
"""

from collections.abc import Sequence

import numpy as np

_CELLS = 4_000  # of the grid, all budgets together


def cheapest(
    losses: Sequence[np.ndarray], costs: Sequence[np.ndarray], limits: Sequence[float]
) -> list[int] | None:
    """Return the index of the option to take for each weight; None if no choice fits.

    Args:
        losses: of each weight, (options,): how much each of its options adds to the loss.
        costs: of each weight, (options, budgets), >= 0.
        limits: (budgets,), > 0.

    Example:
        >>> losses = [np.array([0.0, 1.0, 3.0]), np.array([0.0, 2.0])]
        >>> costs = [np.array([[9.0], [5.0], [1.0]]), np.array([[9.0], [4.0]])]
        >>> cheapest(losses, costs, [14.0]), cheapest(losses, costs, [9.0])
        ([1, 0], [1, 1])
        >>> cheapest(losses, costs, [4.0]) is None
        True
    """
    limit = np.asarray(limits, float)
    # What the weights that follow cost at least.
    rest = np.cumsum([each.min(axis=0) for each in costs][::-1], axis=0)[::-1]
    rest = np.concatenate([rest[1:], np.zeros((1, limit.size))])
    per_budget = max(2, int(_CELLS ** (1 / limit.size)))
    lost, spent = np.zeros(1), np.zeros((1, limit.size))
    steps: list[tuple[np.ndarray, np.ndarray]] = []  # of each way: the one before, the option
    for added, price, ahead in zip(losses, costs, rest, strict=True):
        way, option = (each.ravel() for each in np.indices((lost.size, added.size)))
        total, loss = spent[way] + price[option], lost[way] + added[option]
        fits = np.flatnonzero(np.all(total + ahead <= limit * (1 + 1e-12), axis=1))
        if not fits.size:
            return None
        cells = np.minimum(total[fits] / limit * per_budget, per_budget - 1).astype(int)
        cell = np.ravel_multi_index(tuple(cells.T), (per_budget,) * limit.size)
        order = np.lexsort((loss[fits], cell))
        first = np.diff(cell[order], prepend=-1) != 0
        best = fits[order[first]]
        lost, spent = loss[best], total[best]
        steps.append((way[best], option[best]))
    at = int(np.argmin(lost))
    chosen = []
    for way, option in reversed(steps):
        chosen.append(int(option[at]))
        at = int(way[at])
    return chosen[::-1]
