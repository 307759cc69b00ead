"""Which channels go: the lowest scores, down to a budget. Pure functions of arrays."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

TOLERANCE = 0.03  # of a budget
_FEW = 5000  # widths of all groups that are all tried: a second or less


@dataclasses.dataclass(frozen=True)
class Candidates:
    """The channels of one group, as selection sees them.

    Attributes:
        scores: larger = keep.
        removable: whether each may go.
        width: channels of every layer that each stands for, at least; a divisor of their numbers.
        share: fraction of the channels to remove whatever the others do; None takes part in the
            common choice.
    """

    scores: np.ndarray
    removable: np.ndarray
    width: int = 1
    share: float | None = None


@dataclasses.dataclass(frozen=True)
class Limits:
    """What is left of every group.

    Attributes:
        round_to: channels that a layer keeps are a multiple of it, where any goes.
        min_kept: channels kept at least.
    """

    round_to: int = 1
    min_kept: int = 1

    def step(self, group: Candidates) -> int:
        """Return by how many channels the numbers differ that may be kept of a group."""
        return self.round_to // int(np.gcd(self.round_to, group.width))

    def kept(self, group: Candidates, wanted: int) -> int:
        """Return how many channels to keep, near to `wanted`.

        Example:
            >>> Limits(round_to=8).kept(Candidates(np.ones(32), np.ones(32, bool)), 11)
            8
        """
        return min(self.widths(group), key=lambda count: (abs(count - wanted), -count))

    def widths(self, group: Candidates) -> list[int]:
        """Return the numbers of channels that may be kept of a group, rising.

        Example:
            >>> Limits(round_to=8).widths(Candidates(np.ones(20), np.ones(20, bool)))
            [8, 16, 20]
        """
        size = group.scores.size
        least = max(self.min_kept, size - int(np.count_nonzero(group.removable)), 1)
        step = self.step(group)
        return [count for count in range(step, size, step) if count >= least] + [size]


def counts(
    groups: Sequence[Candidates], number: int, limits: Limits, *, together: bool
) -> list[int]:
    """Return how many channels of each group are kept.

    Args:
        groups: in any order.
        number: channels to remove of all that may go and have no share of their own; about as many
            go once `limits` are kept.
        limits: what is left of every group.
        together: whether the lowest scores of all groups go, or the same share of each group.

    Example:
        >>> first = Candidates(np.array([1.0, 4.0]), np.ones(2, bool))
        >>> second = Candidates(np.array([2.0, 3.0, 5.0]), np.ones(3, bool))
        >>> counts([first, second], 3, Limits(), together=True)
        [1, 1]
    """
    free = [group for group in groups if group.share is None]
    pool = np.concatenate([group.scores[group.removable] for group in free] or [np.zeros(0)])
    lowest = np.sort(pool)[:number]
    threshold = lowest[-1] if lowest.size else -np.inf
    ties = int(np.count_nonzero(lowest == threshold))
    chosen = []
    for group in groups:
        size = group.scores.size
        if group.share is not None:
            gone = round(group.share * size)
        elif together:
            open_scores = group.scores[group.removable]
            level = int(np.count_nonzero(open_scores == threshold))
            gone = int(np.count_nonzero(open_scores < threshold)) + min(level, ties)
            ties -= min(level, ties)
        else:
            gone = round(number / max(1, pool.size) * np.count_nonzero(group.removable))
        chosen.append(limits.kept(group, size - gone))
    return chosen


def lowest(group: Candidates, kept: int) -> np.ndarray:
    """Return which channels go so that `kept` stay: the lowest scores of those that may go.

    Of equal scores the last go first.

    Example:
        >>> lowest(Candidates(np.array([2.0, 1.0, 1.0]), np.ones(3, bool)), 2)
        array([False, False,  True])
    """
    number = group.scores.size - kept
    scores = np.where(group.removable, group.scores, np.inf)
    order = np.lexsort((-np.arange(scores.size), scores))
    gone = np.zeros(scores.size, bool)
    gone[order[:number]] = True
    return gone


def search(cost: Callable[[int], float], most: int, budget: float) -> int:
    """Return the number of channels to remove at which the cost is nearest to the budget.

    Args:
        cost: number of removed channels -> cost, which does not rise.
        most: channels that may be removed.
        budget: of the cost.

    Example:
        >>> search(lambda number: 100 - number, 90, 40)
        60
    """
    low, high = (0, most) if cost(most) <= budget else (most, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) > budget else (low, middle)
    return min((high, low), key=lambda number: abs(cost(number) - budget))


def refine(
    kept: list[int],
    groups: Sequence[Candidates],
    limits: Limits,
    cost: Callable[[list[int]], float],
    budget: float,
    slack: float,
) -> list[int]:
    """Return widths nearer to the budget: one or two groups at a time take their next width.

    For models so small that one channel is more than the tolerance. Where no next widths are
    nearer, those of all groups together are tried if they are few, the most alike first.

    Args:
        kept: channels kept of each group.
        groups: the same groups.
        limits: what is left of every group.
        cost: of such widths.
        budget: of the cost.
        slack: how far from it the cost may be.
    """
    best, distance = list(kept), abs(cost(kept) - budget)
    improved = True
    while improved and distance > slack:
        improved = False
        for trial in _neighbours(best, groups, limits):
            if (found := abs(cost(trial) - budget)) < distance:
                best, distance, improved = trial, found, True
                break
    if distance > slack:
        near = (trial for trial in _all(best, groups, limits) if abs(cost(trial) - budget) <= slack)
        return next(near, best)
    return best


def _choices(
    kept: list[int], groups: Sequence[Candidates], limits: Limits
) -> list[tuple[int, list[int]]]:
    """Return the place and the widths of every group whose width is open."""
    found = ((at, limits.widths(group)) for at, group in enumerate(groups) if group.share is None)
    return [(at, widths) for at, widths in found if kept[at] in widths]


def _neighbours(
    kept: list[int], groups: Sequence[Candidates], limits: Limits
) -> Iterator[list[int]]:
    """Yield widths in which one group, and then two groups, have their next width."""
    moves = []
    for at, widths in _choices(kept, groups, limits):
        place = widths.index(kept[at])
        near = [place - 1] * (place > 0) + [place + 1] * (place + 1 < len(widths))
        moves += [(at, widths[next_place]) for next_place in near]
    for first, second in [*((move, move) for move in moves), *itertools.combinations(moves, 2)]:
        trial = list(kept)
        trial[second[0]], trial[first[0]] = second[1], first[1]
        yield trial


def _all(kept: list[int], groups: Sequence[Candidates], limits: Limits) -> list[list[int]]:
    """Return all widths that there are, the nearest to `kept` first; none where they are many."""
    options = [[width] for width in kept]
    for at, widths in _choices(kept, groups, limits):
        options[at] = widths
    if math.prod(map(len, options)) > _FEW:
        return []

    def change(trial: Sequence[int]) -> float:
        return sum(abs(new - old) / old for new, old in zip(trial, kept))

    return sorted(map(list, itertools.product(*options)), key=change)
