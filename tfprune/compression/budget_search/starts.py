"""Models that the search starts from, with what was tried on each of their weights."""

import dataclasses
from collections.abc import Collection, Sequence

import keras
import numpy as np

from tfprune.calibration.batch_norm import refresh_batch_norm
from tfprune.channels.coupling.reading import read
from tfprune.channels.planning import plan
from tfprune.channels.shrinking import prune
from tfprune.compression.budget_search.losses import (
    How,
    LossMeter,
    Trials,
    exactly,
    tried,
    work_of,
)
from tfprune.compression.budget_search.places import left_by_rules, places_of
from tfprune.compression.budget_search.stored_sizes import FileKind
from tfprune.compression.folding import folded
from tfprune.keras_graph.rebuilding import rebuild
from tfprune.keras_graph.sublayers import is_graph
from tfprune.support.arrays import host_array
from tfprune.support.long_work import progress


@dataclasses.dataclass(frozen=True)
class Wish:
    """What a search may do, and on what.

    Attributes:
        methods: what may be done.
        how: weights are tried.
        rules: weights that stay.
        compiled: the model whose loss counts where none is given.
        quiet: show no progress.
    """

    methods: Collection[str]
    how: How
    rules: Sequence[tuple[str, None]] | None
    compiled: keras.Model
    quiet: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Start:
    """A model to go on from: the original, or what is left of it without some channels.

    Attributes:
        left: multiply-adds that are left, as a fraction of the original's.
        model: plain.
        loss: its mean loss.
        trials: what was tried on each of its weights.
        meter: of its loss.
    """

    left: float
    model: keras.Model
    loss: float
    trials: Sequence[Trials]
    meter: LossMeter

    def loss_as(self, kind: FileKind) -> float:
        """Return what rounding all weights as in a file adds to the loss."""
        values = [(each.place, host_array(each.place.weight.value).copy()) for each in self.trials]
        try:
            for place, value in values:
                place.weight.assign(kind.rounded(value, place.axes))
            return max(0.0, self.meter() - self.loss)
        finally:
            for place, value in values:
                place.weight.assign(value)


def narrowed(model: keras.Model, left: float, wish: Wish) -> tuple[keras.Model, LossMeter]:
    """Return a copy of a model without some of its channels, and what measures its loss.

    Args:
        model: plain; it is not changed.
        left: fraction of the multiply-adds that are left; 1 for all.
        wish: what is asked for.

    Raises:
        ValueError: if channels cannot leave so little.
    """
    taken = wish.how.taken
    if left < 1:
        small = prune(model, plan(model, macs=left, rules=_keeping(model, wish.rules)))
        refresh_batch_norm(small, taken)
    else:
        small = rebuild(model, lambda layer, copy: copy)
    return small, LossMeter(small, taken, wish.how.loss, wish.compiled)


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


def start_of(model: keras.Model, meter: LossMeter, loss: float, left: float, wish: Wish) -> Start:
    """Try everything on each weight of a model.

    Args:
        model: from `narrowed`.
        meter: of its loss.
        loss: that it measured.
        left: fraction of the original's multiply-adds.
        wish: what is asked for.
    """
    by_channel = frozenset[str]()
    if wish.how.levels and is_graph(model):
        names = {layer.name for layer in folded(model)[1]}
        by_channel = frozenset(w.path for x in model.layers if x.name in names for w in x.weights)
    places = places_of(model, wish.how.structures, wish.methods, wish.rules)
    total = work_of(places, wish.how)
    with progress("Sensitivity", total=total, quiet=wish.quiet) as advance:
        trials = tried(model, places, meter, loss, wish.how, by_channel, advance)
    return Start(left, model, loss, trials, meter)
