"""What each weight may become, how much that adds to the loss, and what it costs of the budgets.

Losses were measured at a few sparsities, ranks and numbers of values; in between they are
interpolated, never falling. Zeros and few values of one weight add up. Factors have none of either
here: those of a start that has factors are weights of their own.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.compression.budget_search.losses import Trial, Trials
from tfprune.compression.budget_search.places import Place
from tfprune.compression.budget_search.stored_sizes import FileKind
from tfprune.export.encode.costs import nanoseconds
from tfprune.layer_classes.prunable import is_recurrent_cell
from tfprune.targets.costs import Costs
from tfprune.targets.target import INTEGER_ARITHMETIC, TARGETS

_SPARSITIES = np.concatenate([np.arange(0.3, 0.9, 0.02), np.arange(0.9, 0.981, 0.005)])
_LEVELS = (4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64)
_RANKS = 64  # at most so many ranks of one weight


@dataclasses.dataclass(frozen=True)
class Option:
    """What one weight may become.

    Attributes:
        sparsity: share of its entries that are removed.
        rank: of two factors in its place; None without.
        levels: number of its values; None for any.
        loss: expected to come on top.
        costs: budget -> what it takes of it.
    """

    sparsity: float = 0.0
    rank: int | None = None
    levels: int | None = None
    loss: float = 0.0
    costs: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def in_words(self) -> str:
        """What is done, as "80 % zeros, 16 values"; "stays" for nothing.

        Example:
            >>> Option(sparsity=0.8, levels=16).in_words, Option().in_words
            ('80 % zeros, 16 values', 'stays')
        """
        parts = [f"{100 * self.sparsity:.3g} % zeros" if self.sparsity else ""]
        parts += [f"rank {self.rank}" if self.rank else ""]
        parts += [f"{self.levels} values" if self.levels else ""]
        return ", ".join(filter(None, parts)) or "stays"


def options_of(trials: Trials, kind: FileKind, budgets: Sequence[str]) -> list[Option]:
    """Return what a weight may become in files of a kind; the first is that it stays.

    Args:
        trials: on the weight.
        kind: of the file.
        budgets: names of those that weights count for.
    """
    place = trials.place
    costs = _Costs(place, kind, budgets)
    stays = Option(costs=costs.of(place.value))
    found = [stays]
    zeros = {0.0: Trial(place.value, 0.0), **trials.pruned}
    some = [0.0, *(_SPARSITIES if trials.pruned else ())]
    plain = {sparsity: costs.of(pruned.value) for sparsity, pruned in zeros.items()}
    for sparsity in some[1:]:
        cost = {name: _at(sparsity, plain, name) for name in budgets}
        found.append(Option(float(sparsity), None, None, _loss_at(zeros, sparsity), cost))
    # Levels count by their logarithm, as bits do.
    shared = {math.log2(levels): trial for levels, trial in trials.shared.items()}
    few = {
        bits: {
            sparsity: costs.of(np.where(pruned.value != 0, trial.value, 0.0))
            for sparsity, pruned in zeros.items()
        }
        for bits, trial in shared.items()
    }
    for levels in _LEVELS if shared else ():
        bits = math.log2(levels)
        for sparsity in some:
            cost = {}
            for name in budgets:
                by_bits = {each: {name: _at(sparsity, few[each], name)} for each in few}
                cost[name] = _at(bits, by_bits, name)
            loss = _loss_at(shared, bits) + _loss_at(zeros, sparsity)
            found.append(Option(float(sparsity), None, levels, loss, cost))
    found += _ranks(trials, costs, budgets)
    return list(_undominated(found, budgets))


def value_of(trials: Trials, option: Option) -> np.ndarray:
    """Return the value of a weight by the trials that are nearest to an option.

    Example:
        >>> ones = np.ones(4)
        >>> trials = Trials(None, {0.5: Trial(ones * [0, 0, 1, 1], 0.1)}, {},
        ...     {4: Trial(ones * 2, 0.0)})
        >>> value_of(trials, Option(sparsity=0.6, levels=5)).tolist()
        [0.0, 0.0, 2.0, 2.0]
    """

    def nearest(tried: Mapping[Any, Trial], at: float) -> np.ndarray:
        return tried[min(tried, key=lambda each: abs(math.log(each / at)))].value

    if option.rank:
        return nearest(trials.factored, option.rank)
    value = nearest(trials.shared, option.levels) if option.levels else None
    if option.sparsity:
        pruned = trials.pruned[min(trials.pruned, key=lambda each: abs(each - option.sparsity))]
        return pruned.value if value is None else np.where(pruned.value != 0, value, 0.0)
    return trials.place.value if value is None else value


def _ranks(trials: Trials, costs: "_Costs", budgets: Sequence[str]) -> Iterator[Option]:
    form, tried = trials.place.form, trials.factored
    if form is None or not tried:
        return
    (full,) = form.full
    measured = {**tried, full: Trial(trials.place.value, 0.0)}
    at = {
        rank: costs.of_factors(trial.factors, form.cost((rank,)).macs)
        for rank, trial in tried.items()
    }
    for rank in np.unique(np.geomspace(min(tried), max(tried), _RANKS).round().astype(int)):
        cost = {name: _at(rank, at, name) for name in budgets}
        yield Option(0.0, int(rank), None, _loss_at(measured, rank), cost)


def _at(place: float, measured: Mapping[Any, Mapping[str, float]], name: str) -> float:
    """Return a cost between two that were measured."""
    places = sorted(measured)
    return float(np.interp(place, places, [measured[each][name] for each in places]))


class _Costs:
    """What forms of one weight cost."""

    def __init__(self, place: Place, kind: FileKind, budgets: Sequence[str]):
        self._place, self._kind, self._budgets = place, kind, budgets

    def of(self, value: np.ndarray) -> dict[str, float]:
        """Return the costs of a value of the weight."""
        axes, macs = self._place.axes, self._place.multiply_adds
        return self._chosen([(value, axes)], macs, lambda: self._nanoseconds(value))

    def of_factors(self, factors: Sequence[np.ndarray], macs: int) -> dict[str, float]:
        """Return the costs of factors in its place."""
        parts = [(factor, (factor.ndim - 1,)) for factor in factors]
        return self._chosen(parts, macs, lambda: self._dense(macs))

    def _chosen(
        self,
        parts: Sequence[tuple[np.ndarray, tuple[int, ...]]],
        macs: int,
        timed: Callable[[], float],
    ) -> dict[str, float]:
        ways: dict[str, Callable[[], float]] = {
            "bytes": lambda: sum(self._kind.nbytes(*part) for part in parts),
            "gzip_bytes": lambda: sum(self._kind.gzip_bytes(*part) for part in parts),
            "macs": lambda: macs,
            "latency_ms": timed,
        }
        return {name: float(ways[name]()) for name in self._budgets}

    def _dense(self, macs: int) -> float:
        """Return what multiply-adds in a dense kernel take."""
        costs = self._kernels
        kernel = costs.dense
        if self._kind.quantize in INTEGER_ARITHMETIC:
            kernel, _ = costs.kernels(16, dynamic=self._kind.quantize == "dynamic")
        rows = max(1, self._place.multiplied)
        return kernel.nanoseconds(macs / rows, 0, rows)

    @property
    def _kernels(self) -> Costs:
        costs = TARGETS[self._kind.target].costs or TARGETS["auto"].costs
        assert costs is not None
        return costs

    def _nanoseconds(self, value: np.ndarray) -> float:
        """Return what the kernels of the target take for the weight."""
        place = self._place
        if not place.is_matrix:
            return self._dense(place.multiply_adds)
        rows = self._kind.numbers(value, (value.ndim - 1,))[0]
        if self._kind.quantize not in INTEGER_ARITHMETIC:
            rows = rows.astype(np.float32)  # what they are expanded to
        dynamic = self._kind.quantize == "dynamic"
        if is_recurrent_cell(place.layer):
            return place.multiplied * nanoseconds(rows, self._kernels, dynamic=dynamic)
        return nanoseconds(rows, self._kernels, dynamic=dynamic, rows=max(1, place.multiplied))


def _loss_at(measured: Mapping[Any, Trial], at: float) -> float:
    """Return the loss between two that were measured; it never falls with compression."""
    places = sorted(measured)
    values = [measured[place].loss for place in places]
    rising = values[0] <= values[-1]
    limited = np.maximum.accumulate(values if rising else values[::-1])
    return float(np.interp(at, places, limited if rising else limited[::-1]))


def _undominated(options: Sequence[Option], budgets: Sequence[str]) -> Iterator[Option]:
    """Yield the first option, and those that no other beats in loss and in all costs."""
    costs = np.array([[option.costs[name] for name in budgets] for option in options])
    losses = np.array([option.loss for option in options])
    for number, option in enumerate(options):
        no_worse = (losses <= losses[number]) & np.all(costs <= costs[number], axis=1)
        better = (losses < losses[number]) | np.any(costs < costs[number], axis=1)
        ties = no_worse & ~better & (np.arange(len(options)) < number)
        finite = np.isfinite(option.loss)
        if number == 0 or (finite and not np.any(no_worse & better) and not ties.any()):
            yield option
