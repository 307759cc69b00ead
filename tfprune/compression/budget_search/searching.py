"""All ways to meet a budget: from the original, from it with fewer channels and with factors."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence

import keras
import numpy as np

from tfprune.compression.budget_search.budgets import TOLERANCE, Limits, Scales
from tfprune.compression.budget_search.compression_plan import WeightDecision
from tfprune.compression.budget_search.options import options_of
from tfprune.compression.budget_search.starts import Start, Wish, factored, narrowed, with_trials
from tfprune.compression.budget_search.stored_sizes import FileKind
from tfprune.compression.budget_search.ways import Estimate, Way, summed
from tfprune.keras_graph.calls import graph_of

_BY_WEIGHT = ("bytes", "gzip_bytes", "macs", "latency_ms")  # budgets that weights count for
_WIDTHS = (0.75, 0.5, 0.35, 0.25)  # multiply-adds that channels leave
_SHRINKING = (3.0, 2.0, 1.4)  # times that factors cost what they may, before they shrink in turn
_NEAR = (0.985, 0.96)  # of a budget that channels alone are to meet: plans are met within 3 %
_BETWEEN = 6  # further widths at most, where nothing but channels saves what is asked for


class _Search:
    """Gathers the ways to meet a budget.

    Args:
        limits: of the costs.
        before: what the original costs.
        kinds: of files that may be written.
        scales: that tell what models cost.
        wish: what may be done.
    """

    def __init__(
        self,
        limits: Limits,
        before: Mapping[str, float],
        kinds: Sequence[FileKind],
        scales: Scales,
        wish: Wish,
    ):
        self._limits, self._kinds, self._scales, self._wish = limits, kinds, scales, wish
        self.names = [name for name in _BY_WEIGHT if name in limits.most]
        self.found: list[Way] = []
        self.least = dict(before)
        self._used: dict[FileKind, dict[float, float]] = {}  # by multiply-adds left

    def is_beaten(self, start: Start) -> bool:
        """Return whether it loses more as it is than the best way found does in the end."""
        return any(start.loss >= way.predicted for way in self.found)

    def go_on_from(self, start: Start) -> tuple[Start, dict[str, float]]:
        """Add the ways from a start; return it with all that was tried, and what it costs."""
        limits = self._limits
        costs = self._scales.weigh(start.model, self._kinds[0])
        self._reached(costs)
        if costs.get("arena", 0.0) > limits.most.get("arena", np.inf):
            return start, costs
        start = with_trials(start, self._wish)
        first = self._kinds[0]
        for kind in self._kinds:
            options = {each.place.name: options_of(each, kind, self.names) for each in start.trials}
            way = Way(start, kind, start.loss_as(kind), options, {})
            if not self.names or all(len(some) == 1 for some in options.values()):
                # Nothing that weights become counts: channels and bits alone do.
                file_costs = costs if kind == first else self._scales.weigh(start.model, kind)
                self._reached(file_costs)
                self._used.setdefault(kind, {})[start.left] = limits.used(file_costs)
                if limits.fit(file_costs):
                    stays = {path: some[0] for path, some in options.items()}
                    self.found.append(dataclasses.replace(way, chosen=stays))
                continue
            if kind == first:
                estimate = Estimate.of(costs, summed(some[0] for some in options.values()))
            smallest = {
                name: sum(min(own.costs[name] for own in some) for some in options.values())
                for name in self.names
            }
            self._reached(estimate.total(smallest))
            room = estimate.room(limits.most)
            ways = [way, *(_alone(way, self.names) if start.is_whole else ())]
            self.found += [one for each in ways if (one := each.within(room)) is not None]
        return start, costs

    def width_between(self) -> float | None:
        """Return multiply-adds left at which a file should be just below its budget.

        None where files of all kinds are near it, or weights can save the rest.
        """
        for used in self._used.values():
            fitting = {left: share for left, share in used.items() if share <= 1}
            beyond = {left: share for left, share in used.items() if share > 1}
            if not (fitting and beyond) or max(fitting.values()) >= 1 - TOLERANCE:
                continue
            below, above = max(fitting), min(beyond)
            shares = (fitting[below], beyond[above])
            found = float(np.interp(1 - TOLERANCE / 2, shares, (below, above)))
            if below < found < above:
                return found
        return None

    def ranks_of(self, whole: Start, costs: Mapping[str, float]) -> Iterator[list[WeightDecision]]:
        """Yield ranks of weights that lose least where factors cost a few times what they may.

        Zeros and few values are to save the rest. Large ranks come first.

        Args:
            whole: the original, with what was tried on it.
            costs: of it.
        """
        kind, names = self._kinds[0], self.names
        options = {
            each.place.name: options_of(each.only("factored"), kind, names) for each in whole.trials
        }
        ranked = {path: some for path, some in options.items() if len(some) > 1}
        if not ranked:
            return
        full = summed(some[0] for some in options.values())
        part = summed(some[0] for some in ranked.values())
        room = Estimate.of(costs, full).room(self._limits.most)
        last: list[WeightDecision] = []
        for times in _SHRINKING:
            way = Way(whole, kind, 0.0, ranked, {}).within(
                {name: times * room[name] * part[name] / full[name] for name in names}
            )
            ranks = [each for each in way.decisions if each.option.rank] if way else []
            if ranks and ranks != last:
                yield ranks
            last = ranks

    def _reached(self, costs: Mapping[str, float]) -> None:
        self.least |= {name: min(self.least[name], cost) for name, cost in costs.items()}


def ways_within(
    model: keras.Model,
    limits: Limits,
    before: Mapping[str, float],
    kinds: Sequence[FileKind],
    scales: Scales,
    wish: Wish,
) -> tuple[list[Way], dict[str, float]]:
    """Return the ways to meet a budget, the one that promises most first.

    Starts with fewer channels, and those with smaller factors, are left out once they lose more
    before anything else is done than the best way does in the end.

    Args:
        model: plain; its weights change for a moment, one at a time.
        limits: of its costs.
        before: what it costs.
        kinds: of files that may be written.
        scales: that tell what models cost.
        wish: what may be done.

    Returns:
        The ways; and budget -> the least that any start is expected to come to, however much it
        loses.
    """
    search = _Search(limits, before, kinds, scales, wish)
    whole, costs = search.go_on_from(Start.of(model, wish))
    for left in _lefts(limits, before, wish):
        try:
            start = narrowed(model, left, wish)
        except ValueError:
            break  # of all channels that may go, fewer are left
        if search.is_beaten(start):
            break
        search.go_on_from(start)
    for _ in range(_BETWEEN):
        between = search.width_between()
        if between is None:
            break
        try:
            start = narrowed(model, between, wish)
        except ValueError:
            break  # whole channels come no nearer
        search.go_on_from(start)
    for ranks in search.ranks_of(whole, costs) if _factors_can_shrink(search.names, wish) else ():
        start = factored(whole, ranks, wish)
        if search.is_beaten(start):
            break
        search.go_on_from(start)
    return sorted(search.found, key=lambda way: way.predicted), search.least


def _alone(way: Way, names: Sequence[str]) -> Iterator[Way]:
    """Yield the same with one kind of option alone, for each of several kinds that there are."""
    kinds = {"zeros": "pruned", "ranks": "factored", "few values": "shared"}
    tried = [kind for kind in kinds.values() if any(getattr(t, kind) for t in way.start.trials)]
    for words, kept in kinds.items():
        if kept not in tried or len(tried) == 1:
            continue
        options = {
            each.place.name: options_of(each.only(kept), way.kind, names)
            for each in way.start.trials
        }
        yield dataclasses.replace(way, options=options, alone=words)


def _factors_can_shrink(names: Collection[str], wish: Wish) -> bool:
    """Return whether what can be done to factors saves what the budget counts."""
    methods = set(wish.methods)
    return "rank" in methods and bool(methods & {"pruning", "levels"} and set(names) - {"macs"})


def _lefts(limits: Limits, before: Mapping[str, float], wish: Wish) -> list[float]:
    """Return what removed channels are to leave of the multiply-adds, the most first."""
    if "channels" not in wish.methods or graph_of(wish.compiled) is None:
        return []
    asked = [
        near * most / before[name]
        for name, most in limits.most.items()
        if name in ("macs", "latency_ms", "arena")
        for near in _NEAR
    ]
    return sorted({*_WIDTHS, *(left for left in asked if left < 1)}, reverse=True)
