"""Groups of weights that are pruned together: of one schedule, scorer and distribution."""

import dataclasses
from collections.abc import Collection

import keras

from tfprune.scorers.protocol import Scorer
from tfprune.sparsity.distributions import Distribution
from tfprune.sparsity.schedules import Schedule
from tfprune.sparsity.structures import Structure
from tfprune.wrapping.added_state import PastScores
from tfprune.wrapping.masking import PrunedWeight
from tfprune.wrapping.pruned_layer import PrunedLayer


@dataclasses.dataclass(frozen=True, eq=False)
class WeightGroup:
    """Weights that are updated together: they follow one schedule and share one target.

    Attributes:
        schedule: step -> sparsity.
        scorer: weights, evidence -> scores.
        distribution: name or function; how the target becomes one sparsity a weight.
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

    def only(self, names: Collection[str]) -> "WeightGroup":
        """Return the part of the group with these weights."""
        weights = {name: w for name, w in self.weights.items() if name in names}
        return dataclasses.replace(self, weights=weights)

    def last_update(self, after: int, step: int) -> int | None:
        """Return the last update step in (after, step], None if there is none."""
        last, following = None, self.schedule.next_update(after)
        while following is not None and following <= step:
            last, following = following, self.schedule.next_update(following)
        return last


def grouped(layers: list[PrunedLayer]) -> list[WeightGroup]:
    """Return groups of equal schedule, scorer and distribution; a tied weight is in one, once.

    Args:
        layers: built `PrunedLayer`s of one model.
    """
    groups: list[WeightGroup] = []
    masks_of: dict[int, list[keras.Variable]] = {}
    past_of: dict[int, list[PastScores]] = {}
    names: set[str] = set()
    for layer in layers:
        for own in layer.pruned:
            past_of.setdefault(id(own.weight), []).extend([own.past] if own.past else [])
            if id(own.weight) in masks_of:
                masks_of[id(own.weight)].append(own.mask)
                continue
            masks_of[id(own.weight)] = [own.mask]
            name = _unique(plain_path(layer, own.weight.path), names)
            group = next((g for g in groups if _belongs(g, layer, own)), None)
            if group is None:
                group = WeightGroup(own.schedule, layer.scorer, layer.distribution, {}, {}, {}, {})
                groups.append(group)
            group.weights[name] = own.weight
            group.masks[name] = masks_of[id(own.weight)]
            group.structures[name] = own.structure
            group.past[name] = past_of[id(own.weight)]
    return groups


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


def _belongs(group: WeightGroup, layer: PrunedLayer, own: PrunedWeight) -> bool:
    return (group.schedule, group.scorer, group.distribution) == (
        own.schedule,
        layer.scorer,
        layer.distribution,
    )


def _unique(path: str, taken: set[str]) -> str:
    name, number = path, 1
    while name in taken:
        number += 1
        name = f"{path}#{number}"
    taken.add(name)
    return name
