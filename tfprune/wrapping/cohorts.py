"""Cohorts: weights that are pruned together: of one schedule, scorer and distribution."""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence

import keras
import numpy as np

from tfprune.scorers.protocol import Scorer
from tfprune.sparsity.coupled_channels import kept_channels
from tfprune.sparsity.distributions import Distribution
from tfprune.sparsity.schedules import Schedule, last_step
from tfprune.sparsity.structures import Structure
from tfprune.support.by_identity import ByIdentity
from tfprune.support.validation import require_model
from tfprune.wrapping.added_state import PastScores
from tfprune.wrapping.masking import PrunedWeight
from tfprune.wrapping.pruned_layer import PrunedLayer, pruned_layers


@dataclasses.dataclass(frozen=True, eq=False)
class Cohort:
    """Weights that are updated together: they follow one schedule and share one total sparsity.

    Attributes:
        schedule: step -> sparsity.
        scorer: weights, evidence -> scores.
        distribution: name or function; how the total sparsity becomes one sparsity a weight.
        weights: name -> stored weight.
        masks: name -> its masks, several where tied layers each hold one.
        structures: name -> structure.
        past: name -> scores of its last update, one for each mask; empty where the scorer does not
            accumulate them.
    """

    schedule: Schedule
    scorer: Scorer
    distribution: str | Distribution
    weights: dict[str, keras.Variable]
    masks: dict[str, list[keras.Variable]]
    structures: dict[str, Structure]
    past: dict[str, list[PastScores]]

    def trainable(self) -> dict[str, keras.Variable]:
        """Return the weights that are updated; those of frozen layers keep their masks."""
        return {name: weight for name, weight in self.weights.items() if weight.trainable}

    def only(self, names: Collection[str]) -> "Cohort":
        """Return the part of the cohort with these weights."""
        weights = {name: w for name, w in self.weights.items() if name in names}
        return dataclasses.replace(self, weights=weights)

    def last_update(self, after: int, step: int) -> int | None:
        """Return the last update step in (after, step], None if there is none."""
        last, following = None, self.schedule.next_update(after)
        while following is not None and following <= step:
            last, following = following, self.schedule.next_update(following)
        return last


@dataclasses.dataclass(frozen=True)
class Coupling:
    """Which weights of a model make the same channels, those of different cohorts too.

    Weights of one cohort are updated together. Of several cohorts the one whose schedule ends first
    decides, and the others remove what it has removed before anything else: all masks are final
    once the last schedule ends.

    Attributes:
        channels: name -> number of the channel at each place along the axis of its `Channel`, of
            weights that share some.
        cohorts: of the model.
    """

    channels: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    cohorts: Sequence[Cohort] = ()

    def in_turn(self, due: Sequence[tuple[Cohort, int]]) -> list[tuple[Cohort, int]]:
        """Return cohorts (or parts of them) that are due, those that decide first."""
        if not self.channels:
            return list(due)
        return sorted(due, key=lambda pair: self._turn(pair[0]))

    def decided(
        self,
        cohort: Cohort,
        made: Mapping[str, np.ndarray],
        read: Callable[[keras.Variable], np.ndarray],
    ) -> dict[str, np.ndarray]:
        """Return whether each channel is kept, of the weights that decide before those of a cohort.

        Args:
            cohort: that is updated, or a part of it.
            made: name -> mask, of those that are updated at the same time, and before it.
            read: mask variable -> its value.
        """
        found = {}
        for other in self.cohorts if self.channels else ():
            first = self._turn(other) < self._turn(cohort)
            for name in other.weights:
                if name in self.channels and name not in cohort.weights and (first or name in made):
                    mask = made[name] if name in made else read(other.masks[name][0])
                    found[name] = kept_channels(mask, other.structures[name])
        return found

    def _turn(self, cohort: Cohort) -> tuple[float, int]:
        own = next(iter(cohort.weights))
        number = next(n for n, whole in enumerate(self.cohorts) if own in whole.weights)
        end = last_step(cohort.schedule)
        return math.inf if end is None else end, number


def cohorts_of(layers: list[PrunedLayer]) -> list[Cohort]:
    """Return cohorts of equal schedule, scorer and distribution; a tied weight is in one, once.

    Args:
        layers: built `PrunedLayer`s of one model.
    """
    cohorts: list[Cohort] = []
    masks_of: ByIdentity[keras.Variable, list[keras.Variable]] = ByIdentity()
    past_of: ByIdentity[keras.Variable, list[PastScores]] = ByIdentity()
    names: set[str] = set()
    for layer in layers:
        for own in layer.pruned:
            past_of.setdefault(own.weight, []).extend([own.past] if own.past else [])
            if own.weight in masks_of:
                masks_of[own.weight].append(own.mask)
                continue
            masks_of[own.weight] = [own.mask]
            name = unique_name(plain_path(layer, own.weight.path), names)
            cohort = next((c for c in cohorts if _belongs(c, layer, own)), None)
            if cohort is None:
                cohort = Cohort(own.schedule, layer.scorer, layer.distribution, {}, {}, {}, {})
                cohorts.append(cohort)
            cohort.weights[name] = own.weight
            cohort.masks[name] = masks_of[own.weight]
            cohort.structures[name] = own.structure
            cohort.past[name] = past_of[own.weight]
    return cohorts


def plain_path(layer: keras.layers.Layer, path: str) -> str:
    """Return the path of a variable of `layer` without the level that a wrapper adds.

    Example:
        >>> import tfprune
        >>> layer = PrunedLayer(keras.layers.Dense(4, name="out"), tfprune.OneShot(0.5))
        >>> layer.build((None, 3))
        >>> plain_path(layer, layer.pruned[0].weight.path)
        'out/kernel'
    """
    if isinstance(layer, PrunedLayer) and path.startswith(f"{layer.layer.path}/"):
        return layer.path + path.removeprefix(layer.layer.path)
    return path


def _belongs(cohort: Cohort, layer: PrunedLayer, own: PrunedWeight) -> bool:
    return (cohort.schedule, cohort.scorer, cohort.distribution) == (
        own.schedule,
        layer.scorer,
        layer.distribution,
    )


def unique_name(path: str, taken: set[str]) -> str:
    """Return the path of a weight, with a number if another weight has it; note that it is taken.

    Layers in nested models may have the names of others.

    Example:
        >>> taken = set()
        >>> [unique_name("dense/kernel", taken) for _ in range(2)]
        ['dense/kernel', 'dense/kernel#2']
    """
    name, number = path, 1
    while name in taken:
        number += 1
        name = f"{path}#{number}"
    taken.add(name)
    return name


def built_layers(model: keras.Model) -> list[PrunedLayer]:
    """Return the pruned layers of a model; ValueError if there are none, or they are not built."""
    layers = pruned_layers(require_model("model", model, built=False))
    if not layers:
        raise ValueError(
            f"Model '{model.name}' has no pruned layers: wrap it with tfprune.prune first."
        )
    unbuilt = [layer.name for layer in layers if not layer.built]
    if unbuilt:
        raise ValueError(
            f"Model '{model.name}' must be built: give it a keras.Input, or call it on a "
            f"batch. Received: unbuilt layers {unbuilt}."
        )
    return layers
