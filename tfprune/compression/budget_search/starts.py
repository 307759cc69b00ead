"""Models that the search starts from, with what was tried on each of their weights."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import keras
import numpy as np

from tfprune.calibration.batch_norm import refresh_batch_norm
from tfprune.calibration.examples import Examples
from tfprune.channels.coupling.reading import read
from tfprune.channels.planning import plan
from tfprune.channels.shrinking import prune
from tfprune.compression.budget_search.building import values_in_file
from tfprune.compression.budget_search.compression_plan import WeightDecision
from tfprune.compression.budget_search.losses import (
    How,
    LossMeter,
    Trials,
    as_data,
    exactly,
    tried,
    work_of,
)
from tfprune.compression.budget_search.places import left_by_rules, places_of
from tfprune.compression.budget_search.stored_sizes import FileKind
from tfprune.compression.folding import folded
from tfprune.compression.low_rank.factorizing import factorize
from tfprune.keras_graph.calls import graph_of
from tfprune.support.arrays import host_array
from tfprune.support.long_work import progress
from tfprune.support.tensors import Loss


@dataclasses.dataclass(frozen=True)
class Wish:
    """What a search may do, and on what.

    Attributes:
        methods: what may be done.
        how: weights are tried.
        rules: weights that stay.
        compiled: the model whose loss counts where none is given.
        measured: what is measured of a model: its loss on examples.
        quiet: show no progress.
    """

    methods: Collection[str]
    how: How
    rules: Sequence[tuple[str, None]] | None
    compiled: keras.Model
    measured: tuple[Examples, Loss]
    quiet: bool

    def meter(self, model: keras.Model) -> LossMeter:
        """Return what measures how good a model is."""
        return LossMeter(model, *self.measured, self.compiled)


@dataclasses.dataclass(frozen=True, eq=False)
class Start:
    """A model to go on from: the original, or it with fewer channels or with factors.

    Attributes:
        model: plain.
        loss: what is measured of it, before anything is tried.
        meter: that measures it.
        left: multiply-adds that removed channels leave, as a fraction of the original's.
        ranks: of weights of the original that are factors in it.
        trials: what was tried on each of its weights; () before.
    """

    model: keras.Model
    loss: float
    meter: LossMeter
    left: float = 1.0
    ranks: tuple[WeightDecision, ...] = ()
    trials: tuple[Trials, ...] = ()

    @classmethod
    def of(cls, model: keras.Model, wish: Wish, **done: Any) -> "Start":
        """Return the one of a model, nothing tried on it yet.

        Args:
            model: plain.
            wish: what is asked for.
            done: what leads from the original to it, as attributes.
        """
        meter = wish.meter(model)
        return cls(model, meter(), meter, **done)

    @property
    def in_words(self) -> str:
        """What was done, as the beginning of a list; nothing for the original."""
        cut = f"{self.left:.0%} of the multiply-adds by channels, " * (self.left < 1)
        return cut + f"factors for {len(self.ranks)} weights, " * bool(self.ranks)

    @property
    def is_whole(self) -> bool:
        """Whether it is the original."""
        return self.left == 1 and not self.ranks

    def loss_as(self, kind: FileKind) -> float:
        """Return what rounding all weights as in a file adds to the loss."""
        found = list(values_in_file(self.model, kind))
        before = [host_array(weight.value).copy() for weight, _ in found]
        try:
            for weight, value in found:
                weight.assign(value)
            return max(0.0, self.meter() - self.loss)
        finally:
            for (weight, _), value in zip(found, before, strict=True):
                weight.assign(value)


def narrowed(model: keras.Model, left: float, wish: Wish) -> Start:
    """Return a copy of a model without some of its channels.

    Args:
        model: plain; it is not changed.
        left: fraction of the multiply-adds that are left, below 1.
        wish: what is asked for.

    Raises:
        ValueError: if channels cannot leave so little.
    """
    small = prune(model, plan(model, macs=left, rules=_keeping(model, wish.rules)))
    refresh_batch_norm(small, wish.how.taken)
    return Start.of(small, wish, left=left)


def factored(whole: Start, ranks: Sequence[WeightDecision], wish: Wish) -> Start:
    """Return a copy of the original with factors, which zeros and few values can go into.

    Args:
        whole: the original; it is not changed.
        ranks: of the weights that become factors.
        wish: what is asked for.
    """
    rules = [*((exactly(each.weight), each.option.rank) for each in ranks), (".*", None)]
    inputs = as_data(wish.how.taken)[:1]
    model, _ = factorize(
        whole.model, rank=1, data=inputs, rules=rules, examples=None, verbose=False
    )
    refresh_batch_norm(model, wish.how.taken)
    return Start.of(model, wish, ranks=tuple(ranks))


def _keeping(
    model: keras.Model, rules: Sequence[tuple[str, None]] | None
) -> list[tuple[str, None]]:
    """Return rules of a channel plan that keep the shape of every weight which `rules` leave.

    Such a weight loses entries by channels that it makes, and by those that it reads.
    """
    left = left_by_rules(model, rules)
    if not left:
        return []
    book = read(model).book
    settled = book.ledger.settle()
    stay = [settled.of(lies.labels) for lies in book.weights if lies.weight.path in left]
    kept = np.unique(np.concatenate([np.zeros(1, int), *stay]))[1:]  # 0 is no channel
    makers = {
        lies.weight.path
        for lies in book.weights
        if lies.makes and np.isin(settled.of(lies.labels), kept).any()
    }
    return [(exactly(path), None) for path in sorted(makers)]


def with_trials(start: Start, wish: Wish) -> Start:
    """Return the same with what was tried on each of its weights.

    Factors have no factors in turn.

    Args:
        start: nothing was tried on it yet.
        wish: what is asked for.
    """
    model, methods = start.model, set(wish.methods) - ({"rank"} if start.ranks else set())
    by_channel = frozenset[str]()
    if wish.how.levels and graph_of(model) is not None:
        names = {layer.name for layer in folded(model)[1]}
        by_channel = frozenset(w.path for x in model.layers if x.name in names for w in x.weights)
    places = places_of(model, wish.how.structures, methods, wish.rules)
    total = work_of(places, wish.how)
    with progress("Sensitivity", total=total, quiet=wish.quiet) as advance:
        trials = tried(model, places, start.meter, start.loss, wish.how, by_channel, advance)
    return dataclasses.replace(start, trials=tuple(trials))
