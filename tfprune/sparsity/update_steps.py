"""What a schedule has to answer: which sparsity at a step, and when the next update is."""

from typing import Protocol, runtime_checkable

from tfprune.support.array_arguments import require_step


@runtime_checkable
class Schedule(Protocol):
    """What the callback asks of a schedule; any object with these two methods will do."""

    def __call__(self, step: int) -> float:
        """Return the sparsity, in [0, 1), asked for after `step` optimizer updates."""

    def next_update(self, step: int) -> int | None:
        """Return the first update step greater than `step`; None when there is none.

        Pass -1 for the first update step of all.
        """


def next_in_span(step: int, begin: int, end: int | None, frequency: int) -> int | None:
    """Return the first of begin, begin + frequency, ..., end (both included) after `step`.

    Example:
        >>> [next_in_span(step, 0, 25, 10) for step in (-1, 0, 20, 25)]
        [0, 10, 25, None]
    """
    if require_step("step", step) < begin:
        return begin
    if end is not None and step >= end:
        return None
    following = begin + ((step - begin) // frequency + 1) * frequency
    return following if end is None else min(following, end)
