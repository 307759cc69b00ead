"""How much each thing that can be done to one weight alone adds to the loss."""

import dataclasses
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfprune import scorers
from tfprune.calibration.batch_norm import refresh_batch_norm
from tfprune.calibration.evidence import MEMORY_BUDGET
from tfprune.calibration.examples import Examples
from tfprune.calibration.source import EvidenceOptions, EvidenceSource
from tfprune.compression.budget_search.places import Place
from tfprune.compression.clustering.shared import share
from tfprune.compression.distillation.distances import logits_of, mean_square
from tfprune.compression.distillation.ends import ends_of
from tfprune.compression.low_rank.moments import as_matrix, moments_of
from tfprune.layer_classes.prunable import prunable_weights
from tfprune.pruning.one_shot_pruning import one_shot
from tfprune.pruning.strip import strip_pruning
from tfprune.scorers.protocol import Scorer, ScorerName, needs_of
from tfprune.support.arrays import host_array
from tfprune.support.tensors import Data, Loss, Nest
from tfprune.targets.structures import TargetStructures

SPARSITIES = (0.4, 0.6, 0.75, 0.85, 0.92, 0.97)  # measured; losses in between are interpolated
RANKS = (0.05, 0.12, 0.25, 0.45, 0.7)  # the same, as fractions of the full rank
LEVELS = (4, 8, 16, 32, 64)


@dataclasses.dataclass(frozen=True)
class Trial:
    """What one weight alone becomes, and what that costs.

    Attributes:
        value: what the layer computes with then.
        loss: how much more the loss is, >= 0.
        factors: kernels that stand for it, of a rank; () else.
    """

    value: np.ndarray
    loss: float
    factors: tuple[np.ndarray, ...] = ()


@dataclasses.dataclass(frozen=True)
class Trials:
    """What was tried on one weight: sparsity, rank or number of levels -> trial."""

    place: Place
    pruned: dict[float, Trial]
    factored: dict[int, Trial]
    shared: dict[int, Trial]

    def only(self, kind: str) -> "Trials":
        """Return the same with what was tried of one kind, an attribute's name, alone."""
        none = Trials(self.place, {}, {}, {})
        return dataclasses.replace(none, **{kind: getattr(self, kind)})


def as_data(taken: Examples) -> tuple[Nest, ...]:
    """Return examples in the form that users give them."""
    parts = (taken.x, taken.y, taken.sample_weight)
    return tuple(part for part in parts if part is not None)


def as_outputs(model: keras.Model, taken: Examples) -> tuple[Examples, Loss]:
    """Return examples whose targets are a model's own outputs, and the loss that compares them.

    It is the mean squared difference, of logits where outputs are probabilities.
    """

    def comparing(end: str) -> Callable[[Any, Any], Any]:
        return lambda own, other: mean_square(logits_of(own, end), logits_of(other, end))

    losses = [comparing(end) for end in ends_of(model)]
    outputs = model.predict(taken.x, verbose=0)
    return dataclasses.replace(taken, y=outputs), losses if len(losses) > 1 else losses[0]


class LossMeter:
    """Measures the mean loss of a model on some examples, again and again.

    Args:
        model: built.
        taken: examples with targets.
        loss: as in `keras.Model.compile`; None is that of `compiled`.
        compiled: the model whose loss counts where none is given.

    Raises:
        ValueError: if the examples, the loss and the model do not fit each other.
    """

    def __init__(self, model: keras.Model, taken: Examples, loss: Loss, compiled: keras.Model):
        options = EvidenceOptions(as_data(taken), loss, None, verbose=False)
        self._source = EvidenceSource(model, [], options, loss_needed=True, compiled=compiled)

    def __call__(self) -> float:
        found = self._source.loss()
        assert found is not None  # loss_needed
        return found

    def having(self, weight: keras.Variable, value: np.ndarray) -> float:
        """Return the loss that the model would have with another value of one weight."""
        before = host_array(weight.value).copy()
        weight.assign(value)
        try:
            return self()
        except ValueError:  # not finite
            return float("inf")
        finally:
            weight.assign(before)


@dataclasses.dataclass(frozen=True)
class How:
    """What is tried on weights, and on what.

    Attributes:
        taken: examples with targets, on which nothing is measured.
        loss: as in `keras.Model.compile`.
        scorer: of weights to remove.
        structures: of the zeros.
        levels: whether few values are tried.
    """

    taken: Examples
    loss: Loss
    scorer: ScorerName | Scorer | None
    structures: TargetStructures
    levels: bool


def pruned_values(
    model: keras.Model, places: Sequence[Place], how: How
) -> Iterator[tuple[float, list[np.ndarray]]]:
    """Yield sparsity, and what one-shot pruning makes of each weight at it."""
    names = [place.name for place in places]
    ordered = {w.path: n for n, w in enumerate(prunable_weights(model))}
    seen: tuple[Data | None, Loss] = (as_data(how.taken), how.loss)
    if how.scorer is not None and not needs_of(scorers.get(how.scorer)):
        seen = None, None  # no loss has to be measured
    for sparsity in SPARSITIES if places else ():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of sparsities that are only tried
            pruned, _ = one_shot(
                model,
                sparsity,
                how.scorer,
                *seen,
                refresh_batch_norm=False,
                structure=how.structures,
                distribution="uniform",
                rules=[*((exactly(name), sparsity) for name in names), (".*", None)],
                examples=None,
                verbose=False,
            )
        made = prunable_weights(strip_pruning(pruned, compile=False))
        yield sparsity, [host_array(made[ordered[name]].value) for name in names]


def exactly(path: str) -> str:
    """Return the regex of a rule for one path.

    Example:
        >>> exactly("m/dense_1/kernel")
        'm/dense_1/kernel'
    """
    return re.escape(path)


def factors_of(
    model: keras.Model, places: Sequence[Place], taken: Examples
) -> Iterator[tuple[Place, int, list[np.ndarray]]]:
    """Yield weights with a rank that saves numbers, and the factors of that rank."""
    chosen = [place for place in places if place.form is not None]
    if not chosen:
        return
    moments = moments_of(
        model,
        {place.name: place.weight for place in chosen},
        taken,
        memory_budget=MEMORY_BUDGET,
        quiet=True,
    )
    for place in chosen:
        form = place.form
        assert form is not None
        split = form.split(as_matrix(moments[place.name]))
        (full,) = form.full
        for rank in sorted({max(1, round(part * full)) for part in RANKS}):
            if form.cost((rank,)).parameters < form.original.parameters:
                yield place, rank, split.factors((rank,))[0]


def tried(
    model: keras.Model,
    places: Sequence[Place],
    meter: LossMeter,
    loss: float,
    how: How,
    by_channel: Collection[str],
    advance: Callable[..., None],
) -> list[Trials]:
    """Return what was tried on each weight.

    Args:
        model: plain; its weights change for a moment, one at a time.
        places: weights of it.
        meter: of its loss.
        loss: as it is.
        how: what is tried.
        by_channel: paths of the weights whose channels have values of their own.
        advance: called after every measurement.
    """
    found = [Trials(place, {}, {}, {}) for place in places]
    of = {each.place.name: each for each in found}

    def trial(place: Place, value: np.ndarray, *factors: np.ndarray) -> Trial:
        advance(f"Sensitivity, {place.name}")
        more = meter.having(place.weight, value.astype(place.value.dtype)) - loss
        return Trial(value, max(0.0, more), factors)

    pruned = [place for place in places if place.structure is not None]
    for sparsity, values in pruned_values(model, pruned, how):
        for place, value in zip(pruned, values, strict=True):
            of[place.name].pruned[sparsity] = trial(place, value)
    for place, rank, factors in factors_of(model, places, how.taken):
        assert place.form is not None
        of[place.name].factored[rank] = trial(place, place.form.product(factors), *factors)
    for place in places if how.levels else ():
        axes = place.axes if place.name in by_channel else ()
        for count in LEVELS:
            of[place.name].shared[count] = trial(place, share(place.value, count, axes=axes).values)
    return found


def tried_around(
    model: keras.Model,
    found: Sequence[Trials],
    values: Mapping[str, np.ndarray],
    meter: LossMeter,
    taken: Examples,
    advance: Callable[..., None],
) -> tuple[float, list[Trials]]:
    """Return what was tried, measured beside other values of the weights, and the loss without.

    How much a weight adds to the loss depends on what became of the others: little is lost where
    the outputs are certain, and more once they are not. The loss is the one with all values, less
    what each of them adds, so that sums begin at it.

    Args:
        model: plain; it is changed meanwhile.
        found: what was tried on each of its weights.
        values: path of a weight -> value that it has meanwhile; batch normalization is estimated
            for these.
        meter: of the model's loss.
        taken: examples.
        advance: called before every measurement.
    """
    originals = [each.place.value.copy() for each in found]
    before = [host_array(variable.value).copy() for variable in model.variables]
    try:
        for each in found:
            each.place.weight.assign(values[each.place.name].astype(each.place.value.dtype))
        refresh_batch_norm(model, taken)
        loss = base = meter()
        again = []
        for each, original in zip(found, originals, strict=True):

            def beside(trials: Mapping[Any, Trial], weight=each.place.weight) -> dict[Any, Trial]:
                kept = {}
                for at, trial in trials.items():
                    advance(f"Sensitivity again, {weight.path}")
                    more = max(0.0, meter.having(weight, trial.value) - whole)
                    kept[at] = dataclasses.replace(trial, loss=more)
                return kept

            whole = meter.having(each.place.weight, original)
            base -= max(0.0, loss - whole)
            parts = (beside(part) for part in (each.pruned, each.factored, each.shared))
            again.append(Trials(each.place, *parts))
        return base, again
    finally:
        for variable, value in zip(model.variables, before, strict=True):
            variable.assign(value)


def work_of(places: Sequence[Place], how: How) -> int:
    """Return how many measurements `tried` makes at most."""
    pruned = sum(place.structure is not None for place in places)
    factored = sum(place.form is not None for place in places)
    shared = len(LEVELS) * len(places) if how.levels else 0
    return len(SPARSITIES) * pruned + len(RANKS) * factored + shared
