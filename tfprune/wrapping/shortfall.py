"""Telling that a model has fewer zeros than its schedule asks for at its end.

Whoever trains too short, freezes a layer or strips at once would otherwise end with a model that is
less pruned than asked, without a word. It is said once a model, at the first occasion; evaluation
and prediction are none, nor is anything done from inside of `fit`, which may be on its way there.
"""

import dataclasses
import warnings
from collections.abc import Sequence

import keras
import numpy as np

from tfprune.sparsity import distributions
from tfprune.sparsity.schedules import Schedule, final_sparsity, last_step
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity
from tfprune.wrapping.added_state import NOT_BEGUN, ModelNotice
from tfprune.wrapping.cohorts import cohorts_of, plain_path
from tfprune.wrapping.masking import PrunedWeight
from tfprune.wrapping.pruned_layer import PrunedLayer
from tfprune.wrapping.running_fit import arguments_of_fit

PREFIX = "Less sparse than asked"
_LISTED = 3  # weights named in a message
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Shortfall:
    """Weights that have fewer zeros than their schedule asks for at its end.

    Attributes:
        asked: sparsity that the schedule ends at.
        achieved: fraction of these weights that is masked.
        step: pruning step of the model; below 0 before any training.
        end_step: step of the schedule's last update, None if it has none that is known.
        weights: names of those that are short, and whether they are frozen.
    """

    asked: float
    achieved: float
    step: int
    end_step: int | None
    weights: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {len(self.weights) - _LISTED} more" if len(self.weights) > _LISTED else ""
        where = f"pruning is at step {self.step}"
        if self.step < 0:
            where = "no mask has been updated"
        elif self.end_step is not None and self.step < self.end_step:
            where += f" of {self.end_step}"
        elif self.end_step is not None:
            where += f", and was to end at {self.end_step}"
        return (
            f"asked {self.asked:.3g}, has {self.achieved:.3g}: {where} "
            f"({', '.join(self.weights[:_LISTED])}{more})"
        )


def lack_of(layers: Sequence[PrunedLayer]) -> Shortfall | None:
    """Return what the layers of one model lack most, None if they have what was asked.

    Args:
        layers: `PrunedLayer`s; those that are not built lack nothing yet.

    Example:
        >>> import keras, tfprune
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="a")], name="m")
        >>> pruned = tfprune.prune(model, tfprune.PolynomialDecay(0.0, 0.5, 0, 100))
        >>> print(lack_of(pruned.layers))
        asked 0.5, has 0: no mask has been updated (m/a/kernel)
    """
    built = [layer for layer in layers if layer.built]
    step = max((_step(layer) for layer in built), default=NOT_BEGUN)
    short: list[tuple[Schedule, dict[str, np.ndarray]]] = []
    for layer in built:
        for own in layer.pruned:
            if is_short(own.schedule, _step(layer)) or _is_left_dense(layer, own):
                alike = next((masks for schedule, masks in short if schedule == own.schedule), None)
                if alike is None:
                    short.append((own.schedule, alike := {}))
                frozen = "" if own.weight.trainable else ", frozen"
                name = f"{plain_path(layer, own.weight.path)}{frozen}"
                alike[name] = host_array(own.mask.value)
    missing: list[tuple[float, Shortfall]] = []
    for schedule, masks in short:
        zeros = sum(int(mask.size - mask.sum()) for mask in masks.values())
        size, asked = sum(mask.size for mask in masks.values()), asked_at_end(schedule, step)
        if zeros < asked * size - len(masks):
            lack = Shortfall(asked, zeros / size, step, last_step(schedule), tuple(masks))
            missing.append((asked * size - zeros, lack))
    return max(missing, key=lambda pair: pair[0])[1] if missing else None


def masked_share(layers: Sequence[PrunedLayer]) -> float:
    """Return the fraction of the pruned weights that is masked, each weight counted once.

    Example:
        >>> masked_share([])
        0.0
    """
    masks = ByIdentity((own.weight, own.mask) for layer in layers for own in layer.pruned)
    sizes = [(int(np.prod(mask.shape)), mask) for mask in masks.values()]
    kept = sum(int(keras.ops.count_nonzero(mask.value)) for _, mask in sizes)
    total = sum(size for size, _ in sizes)
    return 1.0 - kept / total if total else 0.0


def is_short(schedule: Schedule, step: int) -> bool:
    """Return whether a schedule at this step has updates ahead that ask for more.

    Args:
        schedule: as in `tfprune.prune`.
        step: up to which updates are made; -1 if none is.

    Example:
        >>> import tfprune
        >>> plan = tfprune.PolynomialDecay(0.0, 0.8, begin_step=0, end_step=100)
        >>> is_short(plan, 0), is_short(plan, 99), is_short(plan, 100)
        (True, True, False)
    """
    first = schedule.next_update(NOT_BEGUN)
    reached = schedule(step) if first is not None and first <= step else 0.0
    return reached < asked_at_end(schedule, step) - _ROUNDING


def asked_at_end(schedule: Schedule, step: int) -> float:
    """Return the sparsity that a schedule ends at, or that of a step if it has no known end."""
    final, end = final_sparsity(schedule), last_step(schedule)
    if final is None:
        return schedule(max(step, 0) if end is None else end)
    return final


def notice_of(layers: Sequence[PrunedLayer]) -> ModelNotice:
    """Return the notice that the layers of one model share; they share one from now on.

    Args:
        layers: all `PrunedLayer`s of a model, at least one.
    """
    first = layers[0].notice
    if first is not None and first.layers == len(layers):
        if all(layer.notice is first for layer in layers):
            return first
    told = any(layer.notice is not None and layer.notice.told for layer in layers)
    members = tuple(layers)
    advice = "The file holds the model as it is; training goes on from there."

    def before_saving(layer: object) -> None:
        """Look at the model once: every layer says that it is being saved."""
        if layer is next((member for member in members if not member.has_updater), layer):
            tell_shortfall(members, advice)

    notice = ModelNotice(before_saving, len(members), told)
    for layer in layers:
        layer.notice = notice
    return notice


def tell_shortfall(layers: Sequence[PrunedLayer], advice: str, *, ended: bool = False) -> None:
    """Warn if the model has fewer zeros than asked, unless its user knows.

    Args:
        layers: all `PrunedLayer`s of the model.
        advice: what to do, a sentence.
        ended: whether a `fit` that is still running is at its end.
    """
    if not layers or notice_of(layers).told or (arguments_of_fit(layers) is not None and not ended):
        return
    found = lack_of(layers)
    if found is not None:
        tell(layers, f"{found}. {advice}")


def tell(layers: Sequence[PrunedLayer], text: str) -> None:
    """Warn of a shortfall, and remember that the user knows of it."""
    notice_of(layers).told = True
    warnings.warn(f"{PREFIX}: {text}", stacklevel=4)


def tell_ahead(layers: list[PrunedLayer], end: int) -> None:
    """Warn if a `fit` that is beginning will end before the schedule, unless its user knows.

    Args:
        layers: all `PrunedLayer`s of the model, built.
        end: step at which the fit will end.
    """
    notice = notice_of(layers)
    short = [c for c in cohorts_of(layers) if c.trainable() and is_short(c.schedule, end)]
    if notice.told and short:
        return
    notice.told = False  # what was told before may be made up for, or be missed again
    if short:
        schedule = short[0].schedule
        last, at = last_step(schedule), short[0].last_update(NOT_BEGUN, end)
        reached = 0.0 if at is None else schedule(at)
        where = f"{end}" if last is None else f"{end} of {last}"
        tell(
            layers,
            f"asked {asked_at_end(schedule, end):.3g}, this fit will get to {reached:.3g}: it ends "
            f"at step {where}. Train longer, or have the schedule end earlier; another fit goes on "
            "from there.",
        )


def _step(layer: PrunedLayer) -> int:
    return int(host_array(layer.pruning_step.value))


def _is_left_dense(layer: PrunedLayer, own: PrunedWeight) -> bool:
    """Whether not one entry is masked where each weight should have its share, as one-shot pruning
    leaves frozen layers."""
    if distributions.get(layer.distribution) is not distributions.uniform:
        return False
    mask = host_array(own.mask.value)
    groups = int(own.structure.labels(mask.shape).max()) + 1 if mask.all() else 0
    return final_sparsity(own.schedule) is not None and groups * asked_at_end(own.schedule, 0) > 1
