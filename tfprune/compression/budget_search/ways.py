"""Ways to meet a budget: what the dynamic program chooses for a start and a kind of file."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import keras
import numpy as np

from tfprune.compression.budget_search.budgets import Limits, Scales
from tfprune.compression.budget_search.compression_plan import WeightDecision
from tfprune.compression.budget_search.dynamic_program import cheapest
from tfprune.compression.budget_search.options import Option, options_of
from tfprune.compression.budget_search.starts import Start, Wish, narrowed, start_of
from tfprune.compression.budget_search.stored_sizes import FileKind
from tfprune.keras_graph.sublayers import is_graph

_BY_WEIGHT = ("bytes", "gzip_bytes", "macs", "latency_ms")  # budgets that weights count for
_WIDTHS = (0.75, 0.5, 0.35, 0.25)  # multiply-adds that channels leave
_NEAR = (0.985, 0.96)  # of a budget that channels alone are to meet: plans are met within 3 %


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
    """

    start: Start
    kind: FileKind
    rounding: float
    options: Mapping[str, Sequence[Option]]
    chosen: Mapping[str, Option]

    @property
    def in_words(self) -> str:
        """What it is."""
        cut = f"{self.start.left:.0%} of the multiply-adds by channels, " * (self.start.left < 1)
        return cut + self.kind.in_words

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
        return tuple(WeightDecision(path, shapes[path], own) for path, own in self.chosen.items())

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


def ways_within(
    model: keras.Model,
    limits: Limits,
    before: Mapping[str, float],
    kinds: Sequence[FileKind],
    scales: Scales,
    wish: Wish,
) -> tuple[list[Way], dict[str, float]]:
    """Return the ways to meet a budget, the one that promises most first.

    Starts with fewer channels are left out once they lose more before anything else is done than
    the best way does in the end.

    Args:
        model: plain.
        limits: of its costs.
        before: what it costs.
        kinds: of files that may be written.
        scales: that tell what models cost.
        wish: what may be done.

    Returns:
        The ways; and budget -> the least that any start is expected to come to, however much it
        loses.
    """
    names = [name for name in _BY_WEIGHT if name in limits.most]
    found: list[Way] = []
    least = dict(before)
    for left in _lefts(limits, before, wish):
        try:
            base, meter = narrowed(model, left, wish)
        except ValueError:
            if left == 1:
                raise
            break  # of all channels that may go, fewer are left
        loss = meter()
        if found and loss >= min(way.predicted for way in found):
            break
        costs = scales.weigh(base, kinds[0])
        least |= {name: min(least[name], cost) for name, cost in costs.items()}
        if costs.get("arena", 0.0) > limits.most.get("arena", np.inf):
            continue
        start = start_of(base, meter, loss, left, wish)
        if not start.trials:
            continue
        for kind in kinds:
            options = {each.place.name: options_of(each, kind, names) for each in start.trials}
            if kind == kinds[0]:
                estimate = Estimate.of(costs, summed(some[0] for some in options.values()))
            smallest = {
                name: sum(min(own.costs[name] for own in some) for some in options.values())
                for name in names
            }
            reached = estimate.total(smallest)
            least |= {name: min(least[name], cost) for name, cost in reached.items()}
            way = Way(start, kind, start.loss_as(kind), options, {})
            if not names:  # a budget of memory alone
                stays = {path: some[0] for path, some in options.items()}
                found.append(dataclasses.replace(way, chosen=stays))
            elif (chosen := way.within(estimate.room(limits.most))) is not None:
                found.append(chosen)
    return sorted(found, key=lambda way: way.predicted), least


def _lefts(limits: Limits, before: Mapping[str, float], wish: Wish) -> list[float]:
    """Return what channels are to leave of the multiply-adds, all first."""
    if "channels" not in wish.methods or not is_graph(wish.compiled):
        return [1.0]
    asked = [
        near * most / before[name]
        for name, most in limits.most.items()
        if name in ("macs", "latency_ms", "arena")
        for near in _NEAR
    ]
    return [1.0, *sorted({*_WIDTHS, *(left for left in asked if left < 1)}, reverse=True)]
