"""Budgets: how many channels of every group are kept so that a model costs what is asked."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfprune.channels.choosing.selection import (
    TOLERANCE,
    Candidates,
    Limits,
    counts,
    lowest,
    refine,
    search,
)
from tfprune.channels.coupling.groups import Group
from tfprune.channels.kept import Costs
from tfprune.support.validation import require_number, require_sparsity

TOLD = 3  # reasons in an error


@dataclasses.dataclass(frozen=True)
class Choice:
    """What there is to choose from.

    Attributes:
        model: name of the model.
        groups: of channels.
        candidates: the same groups, as selection sees them.
        limits: what is left of every group.
        costs: of the model.
        together: whether the lowest scores of all groups go, or the same share of each.
        gone: channels that are gone already, and in none of the groups.
    """

    model: str
    groups: Sequence[Group]
    candidates: Sequence[Candidates]
    limits: Limits
    costs: Costs
    together: bool = True
    gone: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, int))

    @property
    def whole(self) -> list[int]:
        """How many channels each group has."""
        return [part.scores.size for part in self.candidates]

    @property
    def most(self) -> int:
        """How many channels may go by the common choice."""
        free = [part for part in self.candidates if part.share is None]
        return sum(int(part.removable.sum()) for part in free)

    @property
    def reasons(self) -> list[str]:
        """Why channels stay whatever is asked for, each reason once."""
        found = (reason for group in self.groups for reason in group.frozen if reason)
        return list(dict.fromkeys(found))

    def widths(self, number: int) -> list[int]:
        """Return how many channels of each group are kept if about `number` go."""
        return counts(self.candidates, number, self.limits, together=self.together)

    def removed(self, widths: Sequence[int]) -> list[np.ndarray]:
        """Return for each group whether each channel goes."""
        return [lowest(part, width) for part, width in zip(self.candidates, widths)]

    def roots(self, widths: Sequence[int]) -> np.ndarray:
        """Return the channels that go, those that are gone among them."""
        parts = [group.channels[gone] for group, gone in zip(self.groups, self.removed(widths))]
        return np.concatenate([self.gone, *parts])

    def multiply_adds(self, number: int) -> int:
        """Return the multiply-adds that are left if about `number` channels go."""
        return self.costs.of(self.roots(self.widths(number))).multiply_adds


@dataclasses.dataclass(frozen=True)
class Budget:
    """What is left: a fraction of channels, multiply-adds or parameters.

    Attributes:
        of: "sparsity", "macs" or "parameters".
        left: fraction of the model's.
        text: as the user gave it.
    """

    of: str
    left: float
    text: str

    def cost(self, choice: Choice, widths: Sequence[int]) -> float:
        """Return what a model of these widths costs; of channels, how many of these may go."""
        if self.of == "sparsity":
            parts = zip(choice.groups, choice.candidates, choice.removed(widths))
            return sum(int(group.each[part.removable & ~gone].sum()) for group, part, gone in parts)
        found = choice.costs.of(choice.roots(widths))
        return found.multiply_adds if self.of == "macs" else found.parameters

    def slack(self, groups: Sequence[Group], target: float) -> float:
        """Return how far from its target a cost may be; of channels, the nearest number is met."""
        steps = (int(group.each[group.removable].max(initial=1)) for group in groups)
        return self._tolerance(target, max(steps, default=1))

    def _tolerance(self, target: float, step: int) -> float:
        """Return what is near to a target: 3 %, or of channels what goes at a step."""
        return max(TOLERANCE * target, step if self.of == "sparsity" else 0)

    def nearest(self, choice: Choice, target: float) -> list[int]:
        """Return the widths whose cost is nearest to a target."""

        def cost(widths: list[int]) -> float:
            return self.cost(choice, widths)

        found = search(lambda number: cost(choice.widths(number)), choice.most, target)
        first = choice.widths(found)
        near = self._tolerance(target, 1)
        return refine(first, choice.candidates, choice.limits, cost, target, near)

    def meet(self, choice: Choice) -> list[int]:
        """Return how many channels of each group are kept.

        Raises:
            ValueError: if the budget cannot be met.
        """
        whole = self.cost(choice, choice.whole)
        target = self.left * whole
        widths = self.nearest(choice, target)
        reached = self.cost(choice, widths)
        if abs(reached - target) > self.slack(choice.groups, target):
            least = self.cost(choice, choice.widths(choice.most))
            share = 1 - least / whole if whole else 0.0
            why = f": {'; '.join(choice.reasons[:TOLD])}" if choice.reasons else ""
            raise ValueError(
                f"Widths of whole channels must be found within {TOLERANCE:.0%} of the budget. "
                f"Received: {self.text} for '{choice.model}', of which at most {share:.1%} can go"
                + (f"{why}." if least > target else f"; near it, {1 - reached / whole:.1%}.")
            )
        return widths


def budget_of(given: dict[str, float | None]) -> Budget:
    """Return the budget that was given.

    Args:
        given: name of an argument -> its value; None where it was not given. Exactly one was.

    Raises:
        TypeError, ValueError: if it is no number, or out of its range.

    Example:
        >>> budget_of({"sparsity": None, "macs": 0.25})
        Budget(of='macs', left=0.25, text='macs=0.25')
    """
    ((name, value),) = ((name, value) for name, value in given.items() if value is not None)
    if name == "sparsity":
        left = 1.0 - require_sparsity(name, value)
    else:
        left = float(require_number(name, value, above=0.0, maximum=1.0))
    return Budget(name, left, f"{name}={value!r}")


def require_one_given(**given: float | None) -> None:
    """Raise ValueError unless exactly one argument is not None."""
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        names = [f"`{name}`" for name in given]
        text = ", ".join(f"{name}={given[name]!r}" for name in named) or "none"
        raise ValueError(
            f"Exactly one of {', '.join(names[:-1])} and {names[-1]} must be given. "
            f"Received: {text}."
        )
