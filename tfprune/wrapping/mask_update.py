"""Groups of weights that are pruned together, and one mask update of a group.

step ──schedule──▶ sparsity ─┐
weights, gradients ──scorer──▶ scores ──distribution, structure──▶ masks ──▶ weights
"""

import dataclasses
from typing import Any, Protocol

import keras
import numpy as np

from tfprune.scorers.protocol import Evidence, Scorer, needs_gradients
from tfprune.sparsity import distributions
from tfprune.sparsity.masks import make_masks
from tfprune.sparsity.schedules import Schedule
from tfprune.sparsity.selection import Scores
from tfprune.sparsity.structures import Structure
from tfprune.wrapping.pruned_layer import PrunedLayer, PrunedWeight, plain_path

Arrays = dict[str, np.ndarray]


class Variables(Protocol):
    """Where the values of variables live: in the variables, or in a JAX training state."""

    def read(self, variable: keras.Variable) -> Any:
        """Return the value as a backend tensor."""

    def write(self, variable: keras.Variable, value: Any) -> None:
        """Set the value."""


class LiveVariables:
    """Values in the variables themselves."""

    def read(self, variable: keras.Variable) -> Any:
        return variable.value

    def write(self, variable: keras.Variable, value: Any) -> None:
        variable.assign(value)


@dataclasses.dataclass(frozen=True)
class Update:
    """What one mask update of a group gives, before anything is set.

    Attributes:
        masks: name -> boolean array, True = kept.
        weights: name -> new values; empty where the weights stay as they are.
        scores: name -> scores that the next update goes on from; empty if it does not.
    """

    masks: Arrays
    weights: Arrays
    scores: dict[str, Scores]


@dataclasses.dataclass(frozen=True, eq=False)
class WeightGroup:
    """Weights that are updated together: they follow one schedule and share one target."""

    schedule: Schedule
    scorer: Scorer
    distribution: Any
    weights: dict[str, keras.Variable]
    masks: dict[str, list[keras.Variable]]  # several where tied layers each hold one
    structures: dict[str, Structure]

    def trainable(self) -> dict[str, keras.Variable]:
        """Return the weights that are updated; those of frozen layers keep their masks."""
        return {name: weight for name, weight in self.weights.items() if weight.trainable}

    def only(self, variables: set[int]) -> "WeightGroup":
        """Return the part of the group whose variables have these ids."""
        weights = {name: w for name, w in self.weights.items() if id(w) in variables}
        return dataclasses.replace(self, weights=weights)

    def asks_gradients(self, step: int) -> bool:
        """Return whether an update at `step` looks at gradients; at sparsity 0 it does not."""
        return needs_gradients(self.scorer) and self.schedule(step) > 0

    def last_update(self, after: int, step: int) -> int | None:
        """Return the last update step in (after, step], None if there is none."""
        last, following = None, self.schedule.next_update(after)
        while following is not None and following <= step:
            last, following = following, self.schedule.next_update(following)
        return last

    def update_at(
        self,
        step: int,
        weights: Arrays,
        evidence: Evidence | None = None,
        *,
        previous: dict[str, Scores] | None = None,
        update_weights: bool = True,
    ) -> Update:
        """Return the masks that the schedule asks for at `step`, and new weights if there are any.

        Args:
            step: step of the schedule.
            weights: name -> stored values, of the trainable weights.
            evidence: at the masked weights; for scorers that need them.
            previous: scores of the update before, which the scorer may combine with the new ones.
            update_weights: let the scorer change the kept weights, if it can.
        """
        sparsity = self.schedule(step)
        if sparsity == 0 and needs_gradients(self.scorer):
            return Update({name: np.ones(w.shape, bool) for name, w in weights.items()}, {}, {})
        if evidence is not None:
            # What is masked is out of the network that gradients are of, and stays out.
            weights = {name: w * evidence.masks[name] for name, w in weights.items()}
        scores = self.scorer(weights, evidence)
        accumulated: dict[str, Scores] = {}
        if hasattr(self.scorer, "accumulate"):
            scores = accumulated = self.scorer.accumulate(previous, scores) if previous else scores
        if evidence is not None:
            scores = {n: np.where(evidence.masks[n], s, -np.inf) for n, s in scores.items()}
        distribute = distributions.get(self.distribution)
        structures = {name: self.structures[name] for name in scores}
        masks = make_masks(scores, distribute(scores, sparsity, structures), structures)
        new: Arrays = {}
        if update_weights and hasattr(self.scorer, "compensate"):
            new = self.scorer.compensate(weights, evidence, masks)
        return Update(masks, new, accumulated)

    def apply(self, update: Update, variables: Variables) -> None:
        """Set the masks, and the weights where the scorer changed them; removed ones stay."""
        for name, mask in update.masks.items():
            for variable in self.masks[name]:
                variables.write(variable, keras.ops.convert_to_tensor(mask, dtype="bool"))
        for name, values in update.weights.items():
            weight = self.weights[name]
            stored = variables.read(weight)
            kept = keras.ops.convert_to_tensor(update.masks[name])
            new = keras.ops.convert_to_tensor(values, dtype=weight.dtype)
            variables.write(weight, keras.ops.where(kept, new, stored))


def grouped(layers: list[PrunedLayer]) -> list[WeightGroup]:
    """Return groups of equal schedule, scorer and distribution; a tied weight is in one, once.

    Args:
        layers: built `PrunedLayer`s of one model.
    """
    groups: list[WeightGroup] = []
    masks_of: dict[int, list[keras.Variable]] = {}
    names: set[str] = set()
    for layer in layers:
        for own in layer.pruned:
            if id(own.weight) in masks_of:
                masks_of[id(own.weight)].append(own.mask)
                continue
            masks_of[id(own.weight)] = [own.mask]
            name = _unique(plain_path(layer, own.weight.path), names)
            group = next((g for g in groups if _belongs(g, layer, own)), None)
            if group is None:
                group = WeightGroup(own.schedule, layer.scorer, layer.distribution, {}, {}, {})
                groups.append(group)
            group.weights[name] = own.weight
            group.masks[name] = masks_of[id(own.weight)]
            group.structures[name] = own.structure
    return groups


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
