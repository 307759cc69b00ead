"""How each prunable weight of one layer is to be pruned, from the arguments of its wrapper."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol, TypeVar

import keras

from tfprune.layer_classes.prunable import explain_skip, prunable_weights
from tfprune.sparsity.contract import Structure, StructureChoice, require_structure
from tfprune.sparsity.schedules import Schedule
from tfprune.support.tensors import OfTensor

Value = TypeVar("Value")


class Quantizer(Protocol):
    """What gives each weight the rounding that training imitates."""

    def assign(self, layer: keras.layers.Layer) -> Sequence[OfTensor | None]:
        """Return the rounding of each prunable weight of a layer, None for nothing."""


@dataclasses.dataclass(frozen=True)
class WeightPlan:
    """A weight with its schedule, its structure, and what rounds it (None for nothing)."""

    weight: keras.Variable
    schedule: Schedule
    structure: Structure
    rounding: OfTensor | None


def weight_plans(
    layer: keras.layers.Layer,
    schedule: Schedule | list[Schedule | None],
    structure: Structure | StructureChoice | list[Structure | None],
    quantizer: Quantizer | None = None,
) -> dict[int, WeightPlan]:
    """Return index of a prunable weight -> its plan, without the weights that stay dense.

    Args:
        layer: built layer.
        schedule, structure, quantizer: as `tfprune.PrunedLayer` takes them.

    Raises:
        ValueError: if the layer has nothing to prune, or a list is not as long as its weights.

    Example:
        >>> from tfprune.sparsity.schedules import OneShot
        >>> from tfprune.sparsity.structures import Block
        >>> layer = keras.layers.LSTM(2)
        >>> layer.build((None, 3, 4))
        >>> plans = weight_plans(layer, [OneShot(0.5), None], Block(4, 1))
        >>> [(index, plan.weight.name, plan.structure.height) for index, plan in plans.items()]
        [(0, 'kernel', 4)]
    """
    weights = prunable_weights(layer)
    if not weights:
        raise ValueError(f"Layer '{layer.name}' has nothing to prune: {explain_skip(layer)}.")
    schedules: list[Schedule | None] = _of_each("schedule", schedule, layer, len(weights))
    if isinstance(structure, StructureChoice):
        structures = assigned(structure, layer)
        if not any(structures):
            raise ValueError(
                f"Layer '{layer.name}' has nothing to prune: {structure} leaves it dense."
            )
    else:
        structures = _of_each("structure", structure, layer, len(weights))
    roundings = [None] * len(weights) if quantizer is None else quantizer.assign(layer)
    return {
        index: WeightPlan(weight, plan, kind, rounding)
        for index, (weight, plan, kind, rounding) in enumerate(
            zip(weights, schedules, structures, roundings, strict=True)
        )
        if plan is not None and kind is not None
    }


def assigned(choice: StructureChoice, layer: keras.layers.Layer) -> list[Structure | None]:
    """Return what a choice of structures gives the prunable weights of a layer or model.

    Raises:
        TypeError: if it is no list, or a member of it neither a structure nor None.
        ValueError: if it has not one member for each weight.

    Example:
        >>> import tfprune
        >>> layer = keras.layers.Dense(2)
        >>> layer.build((None, 8))
        >>> assigned(tfprune.structures_for("x86"), layer)
        [Block(height=4, width=1, pooling='avg')]
    """
    found = choice.assign(layer)
    if not isinstance(found, list):
        raise TypeError(
            "`structure.assign(layer)` must return a list, with a structure or None for each "
            f"prunable weight. Received: {found!r} (of type {type(found).__name__}) from {choice}."
        )
    count = len(prunable_weights(layer))
    if len(found) != count:
        raise ValueError(
            f"`structure.assign(layer)` must return one entry for each of the {count} prunable "
            f"weights of '{layer.name}'. Received: {len(found)} entries from {choice}."
        )
    return [None if item is None else require_structure(item) for item in found]


def joined(values: list[Value]) -> Value | list[Value]:
    """Return the one value that all equal, or the list where they differ.

    Example:
        >>> joined([1, 1]), joined([1, None])
        (1, [1, None])
    """
    return values[0] if values and all(item == values[0] for item in values) else values


def _of_each(
    name: str, value: Value | list[Value], layer: keras.layers.Layer, count: int
) -> list[Value]:
    if not isinstance(value, list):
        return [value] * count
    if len(value) != count:
        raise ValueError(
            f"`{name}` must have one entry for each of the {count} prunable weights of "
            f"'{layer.name}'. Received: {len(value)} entries."
        )
    return list(value)
