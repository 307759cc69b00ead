"""A budget of latency: plans are tried out as files, one after the other, until one fits.

Time is measured, not computed: the smaller model of a plan is exported and timed in LiteRT beside
the original, in turns, so that a busy machine slows both. What is compared with the budget is the
original's latency, as it was measured first, divided by the median speed-up over the rounds.
"""

import dataclasses
from collections.abc import Callable

from tfprune.channels.choosing.budgets import Choice
from tfprune.channels.choosing.selection import TOLERANCE, search

_INSIDE = 0.1  # of a bracket: the next plan is at least this far from its ends


@dataclasses.dataclass(frozen=True)
class Latency:
    """What was measured of the exported files of a model and of a smaller one.

    Attributes:
        before_ms: median latency of the original, in milliseconds.
        after_ms: the same, divided by the speed-up.
        speed_up: median over the rounds of original / smaller, in processor time.
        low: lower end of the 95 % interval of this median.
        high: its upper end.
        how: what was timed, in words.
    """

    before_ms: float
    after_ms: float
    speed_up: float
    low: float
    high: float
    how: str

    def __str__(self) -> str:
        return (
            f"latency {self.before_ms:.3g} -> {self.after_ms:.3g} ms "
            f"({self.speed_up:.2f} times as fast, {self.low:.2f} to {self.high:.2f}), {self.how}"
        )


def meet_latency(
    choice: Choice, budget: float, timed: Callable[[list[int]], Latency]
) -> tuple[list[int], Latency]:
    """Return how many channels of each group are kept so that the file takes so long.

    Bisection: the number of channels to remove lies between one that is too slow and one that is
    too fast. The next is where it would be if time went with the multiply-adds in between.

    Args:
        choice: what there is to choose from.
        budget: milliseconds, > 0.
        timed: widths -> what is measured.

    Returns:
        Widths, and what was measured of them.

    Raises:
        ValueError: if no plan is within 3 %, with how far it can go.
    """
    slack = TOLERANCE * budget
    tried: dict[tuple[int, ...], Latency] = {}

    def measured(number: int) -> float:
        widths = tuple(choice.widths(number))
        if widths not in tried:
            tried[widths] = timed(list(widths))
        return tried[widths].after_ms

    slow, fast = 0, choice.most
    after = measured(fast)
    before = tried[tuple(choice.widths(fast))].before_ms
    if after - budget > slack or before - budget <= slack:
        raise ValueError(_out_of_reach(choice, budget, before, after))
    times = {slow: before, fast: after}
    while abs(_nearest(tried, budget) - budget) > slack and fast - slow > 1:
        number = _between(choice, slow, fast, times, budget)
        times[number] = measured(number)
        slow, fast = (number, fast) if times[number] > budget else (slow, number)
    widths, best = min(tried.items(), key=lambda item: abs(item[1].after_ms - budget))
    if abs(best.after_ms - budget) > slack:
        raise ValueError(_out_of_reach(choice, budget, before, after, best.after_ms))
    return list(widths), best


def _nearest(tried: dict[tuple[int, ...], Latency], budget: float) -> float:
    return min((found.after_ms for found in tried.values()), key=lambda ms: abs(ms - budget))


def _between(choice: Choice, slow: int, fast: int, times: dict[int, float], budget: float) -> int:
    """Return a number of channels inside of the bracket, where the line meets the budget."""
    most, least = (choice.multiply_adds(number) for number in (slow, fast))
    share = (times[slow] - budget) / (times[slow] - times[fast])
    wanted = most - share * (most - least)
    found = search(choice.multiply_adds, choice.most, wanted)
    margin = max(1, round(_INSIDE * (fast - slow)))
    return min(max(found, slow + margin), fast - margin)


def _out_of_reach(
    choice: Choice, budget: float, before: float, least: float, near: float | None = None
) -> str:
    reach = f"its file takes {before:.3g} ms on this machine, and {least:.3g} ms where all goes"
    text = f"Received: latency_ms={budget:.6g} for '{choice.model}': {reach}"
    if near is not None:
        text += f"; near the budget, {near:.3g} ms"
    return (
        f"`latency_ms` must be within {TOLERANCE:.0%} of what whole channels allow, and below what "
        f"the model takes. {text}."
    )
