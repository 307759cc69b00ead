"""Ways that are built, measured and corrected until they meet the budget."""

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import keras
import numpy as np

from tfprune.compression.budget_search.budgets import TOLERANCE, Limits, Scales
from tfprune.compression.budget_search.building import as_in_file, build, plain_of
from tfprune.compression.budget_search.compression_plan import Tried
from tfprune.compression.budget_search.losses import tried_around
from tfprune.compression.budget_search.options import options_of, value_of
from tfprune.compression.budget_search.starts import Wish
from tfprune.compression.budget_search.ways import Estimate, Way
from tfprune.support.long_work import progress

_BUILT = 3  # ways that are built at most, once one of them meets the budget
_AGAIN = 3  # times that one way is chosen anew, at most
_CORRECTED = 6  # times that one way is built
_CAUTION = 0.003  # of the budget that is left free with every correction


@dataclasses.dataclass(frozen=True, eq=False)
class Made:
    """A model that was built, and what was measured of it.

    Attributes:
        way: that it was built by.
        model: to train on.
        costs: budget -> what it costs.
        loss: that is measured with its weights as in the file.
        warned: what was warned of while it was built and written.
    """

    way: Way
    model: keras.Model
    costs: Mapping[str, float]
    loss: float
    warned: tuple[str, ...]


def best_of(
    found: Sequence[Way], limits: Limits, scales: Scales, wish: Wish
) -> tuple[Made, list[Tried]]:
    """Return the best model of some ways, and what was tried.

    A way is built as long as none meets the budget, or as it promises less loss than the best that
    was measured; so is the best that each kind of option does alone, where less interacts than
    in what promises more. From the best of them, options of all kinds are chosen anew.

    Args:
        found: ways, the one that promises most first.
        limits: of what the model costs.
        scales: that tell what it costs.
        wish: what was asked for.
    """
    made: dict[Way, Made] = {}

    def rank(each: Made) -> tuple[bool, float]:
        return not limits.fit(each.costs), each.loss

    for way in found:
        if way.alone:
            wanted = all(each.alone != way.alone for each in made)
        else:
            fitting = [each.loss for each in made.values() if limits.fit(each.costs)]
            mixed = sum(not each.alone for each in made)
            wanted = not fitting or (mixed < _BUILT and way.predicted < min(fitting))
        if wanted:
            made[way] = _met(way, limits, scales, wish)
    losses = {way: each.loss for way, each in made.items()}
    tried = [Tried(way.in_words, way.predicted, losses.get(way)) for way in found]
    best = min(made.values(), key=rank)
    for _ in range(_AGAIN):
        way_around = _chosen_around(best, limits, wish)
        again = None if way_around is None else _met(way_around, limits, scales, wish)
        if again is None:
            break
        tried.append(Tried(f"anew, {again.way.in_words}", again.way.predicted, again.loss))
        if rank(again) >= rank(best):
            break
        best = again
    return best, tried


def _chosen_around(made: Made, limits: Limits, wish: Wish) -> Way | None:
    """Return a way with options chosen by what they lose beside those of a model that was built.

    None where weights do not count, or the choice is the same.
    """
    way, start = made.way, made.way.start
    if not way.spent:
        return None
    values = {each.place.name: value_of(each, way.chosen[each.place.name]) for each in start.trials}
    total = sum(len(each.pruned) + len(each.factored) + len(each.shared) for each in start.trials)
    with progress("Sensitivity again", total=total, quiet=wish.quiet) as advance:
        base, trials = tried_around(
            start.model, start.trials, values, start.meter, wish.how.taken, advance
        )
    start = dataclasses.replace(start, loss=base, trials=tuple(trials))
    options = {each.place.name: options_of(each, way.kind, list(way.spent)) for each in trials}
    room = Estimate.of(made.costs, way.spent).room(limits.most)
    other = dataclasses.replace(way, start=start, options=options, alone="").within(room)
    return None if other is None or other.is_like(way) else other


def _rooms(
    built: Sequence[tuple[Way, Mapping[str, float]]], limits: Limits, wanted: Mapping[str, float]
) -> Iterator[dict[str, float]]:
    """Yield what weights may be expected to cost, so that the model costs what is wanted.

    Args:
        built: ways with what each costs, the last one at the end.
        limits: that they are to meet.
        wanted: budget -> cost.
    """
    last, costs = built[-1]
    room = Estimate.of(costs, last.spent).room(wanted)
    between = dict(room)
    for name in room:
        pairs = sorted((way.spent[name], cost[name]) for way, cost in built)
        fitting = [pair for pair in pairs if pair[1] <= limits.most[name]]
        beyond = [pair for pair in pairs if pair[1] > limits.most[name]]
        if fitting and beyond:
            expected, measured = zip(fitting[-1], beyond[0])
            between[name] = float(np.interp(wanted[name], measured, expected))
    yield between
    yield room


class _Attempt(NamedTuple):
    """A model that was built for a way.

    Attributes:
        away: how far it is from its budget, as a share: below it, or beyond it from 1 on.
        way, model, costs, warned: as of `Made`.
    """

    away: float
    way: Way
    model: keras.Model
    costs: dict[str, float]
    warned: tuple[str, ...]


def _met(way: Way, limits: Limits, scales: Scales, wish: Wish) -> Made:
    """Build a way, and choose anew by what it turned out to cost, until it is near its budget.

    What weights are expected to cost is taken for right but for a constant. Files store a weight in
    another form from some sparsity on, so that constants change: once there is a file that fits and
    one that does not, the line between the two is tried first.
    """
    built: list[tuple[Way, Mapping[str, float]]] = []
    best: _Attempt | None = None
    for attempt in range(_CORRECTED):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", UserWarning)
            model = build(way.start.model, way.chosen, wish.how)
            costs = scales.weigh(plain_of(model), way.kind)
        used = limits.used(costs)
        away = 1 - used if limits.fit(costs) else used  # what fits comes first
        if best is None or away < best.away:
            warned = tuple(dict.fromkeys(str(each.message) for each in told))
            best = _Attempt(away, way, model, costs, warned)
        if limits.fit(costs) and used >= 1 - TOLERANCE:
            break
        if not way.spent:
            break
        careful = {name: most * (1 - _CAUTION * attempt) for name, most in limits.most.items()}
        built.append((way, costs))
        others = (way.within(room) for room in _rooms(built, limits, careful))
        others = (one for one in others if one and not any(one.is_like(own) for own, _ in built))
        other = next(others, None)
        if other is None:
            break
        way = other
    assert best is not None
    rounded = as_in_file(best.model, best.way.kind)
    return Made(best.way, best.model, best.costs, wish.meter(rounded)(), best.warned)
