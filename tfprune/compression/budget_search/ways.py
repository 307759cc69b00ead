"""A way to meet a budget: what the dynamic program chooses for a start and a kind of file."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tfprune.compression.budget_search.compression_plan import WeightDecision
from tfprune.compression.budget_search.dynamic_program import cheapest
from tfprune.compression.budget_search.options import Option
from tfprune.compression.budget_search.starts import Start
from tfprune.compression.budget_search.stored_sizes import FileKind


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a model costs, from what its weights are expected to: fixed + factor * sum.

    Attributes:
        fixed: budget -> what comes on top of the weights; 0 for time.
        factor: budget -> what it is multiplied by: 1 but for time, which is measured in other
            units.
    """

    fixed: Mapping[str, float]
    factor: Mapping[str, float]

    @classmethod
    def of(cls, measured: Mapping[str, float], expected: Mapping[str, float]) -> "Estimate":
        """Return the one that makes what was expected of a model what was measured.

        Example:
            >>> Estimate.of({"bytes": 110.0}, {"bytes": 100.0}).room({"bytes": 60.0})
            {'bytes': 50.0}
        """
        timed = {name: name == "latency_ms" for name in expected}
        return cls(
            {name: 0.0 if timed[name] else measured[name] - expected[name] for name in expected},
            {
                name: measured[name] / (expected[name] or 1.0) if timed[name] else 1.0
                for name in expected
            },
        )

    def room(self, most: Mapping[str, float]) -> dict[str, float]:
        """Return what the weights may cost."""
        return {name: (most[name] - self.fixed[name]) / self.factor[name] for name in self.fixed}

    def total(self, spent: Mapping[str, float]) -> dict[str, float]:
        """Return what the model costs if its weights cost this."""
        return {name: self.fixed[name] + self.factor[name] * cost for name, cost in spent.items()}


@dataclasses.dataclass(frozen=True, eq=False)
class Way:
    """One way to meet the budget: a start, a kind of file, and an option for each weight.

    Attributes:
        start: the model.
        kind: of the file.
        rounding: what its bits add to the loss.
        options: path of a weight -> what it may become.
        chosen: path of a weight -> what it becomes.
        alone: the one kind of option that is among these; "" for all.
    """

    start: Start
    kind: FileKind
    rounding: float
    options: Mapping[str, Sequence[Option]]
    chosen: Mapping[str, Option]
    alone: str = ""

    @property
    def in_words(self) -> str:
        """What it is."""
        return self.start.in_words + f"{self.alone} alone, " * bool(self.alone) + self.kind.in_words

    @property
    def predicted(self) -> float:
        """The loss that is expected."""
        return self.start.loss + self.rounding + sum(own.loss for own in self.chosen.values())

    @property
    def spent(self) -> dict[str, float]:
        """Budget -> what the chosen options are expected to cost."""
        return summed(self.chosen.values())

    @property
    def decisions(self) -> tuple[WeightDecision, ...]:
        """What each weight becomes."""
        shapes = {each.place.name: each.place.value.shape for each in self.start.trials}
        own = (WeightDecision(path, shapes[path], one) for path, one in self.chosen.items())
        return (*self.start.ranks, *own)

    def is_like(self, other: "Way") -> bool:
        """Return whether the same becomes of every weight."""
        pairs = zip(self.chosen.values(), other.chosen.values(), strict=True)
        return all(own.in_words == another.in_words for own, another in pairs)

    def within(self, room: Mapping[str, float]) -> "Way | None":
        """Return the same with options that cost no more than there is room for; None if none."""
        names = list(room)
        if min(room.values()) <= 0:
            return None
        found = cheapest(
            [np.array([own.loss for own in some]) for some in self.options.values()],
            [
                np.array([[own.costs[name] for name in names] for own in some])
                for some in self.options.values()
            ],
            [room[name] for name in names],
        )
        if found is None:
            return None
        chosen = {path: some[at] for (path, some), at in zip(self.options.items(), found)}
        return dataclasses.replace(self, chosen=chosen)


def summed(options: Iterable[Option]) -> dict[str, float]:
    """Return budget -> what all options together cost."""
    total: dict[str, float] = {}
    for option in options:
        for name, cost in option.costs.items():
            total[name] = total.get(name, 0.0) + cost
    return total
