"""Mask updates between optimizer steps, for the callback and for custom training loops alike.

    step ──schedule──▶ sparsity ─┐
    weights ──scorer──▶ scores ──┴─distribution, structure──▶ masks
"""

import dataclasses
from typing import Any, Protocol

import keras
import numpy as np

from tfprune import distributions
from tfprune.arrays import host_array
from tfprune.masks import make_masks
from tfprune.schedules import Schedule
from tfprune.scorers import Scorer
from tfprune.structures import Structure
from tfprune.wrapper import NOT_BEGUN, PrunedLayer, PrunedWeight, pruned_layers


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
class _Group:
    """Weights that are updated together: they follow one schedule and share one target."""

    schedule: Schedule
    scorer: Scorer
    distribution: Any
    weights: dict[str, keras.Variable]
    masks: dict[str, list[keras.Variable]]  # several where tied layers each hold one
    structures: dict[str, Structure]

    def masks_at(self, step: int, variables: Variables) -> dict[str, np.ndarray]:
        """Return the masks that the schedule asks for at `step`, of all trainable weights."""
        weights = {
            name: host_array(variables.read(weight))
            for name, weight in self.weights.items()
            if weight.trainable  # frozen layers keep their masks
        }
        if not weights:
            return {}
        scores = self.scorer(weights, None)
        distribute = distributions.get(self.distribution)
        sparsities = distribute(scores, self.schedule(step), self.structures)
        return make_masks(scores, sparsities, self.structures)

    def last_update(self, after: int, step: int) -> int | None:
        """Return the last update step in (after, step], None if there is none."""
        last, following = None, self.schedule.next_update(after)
        while following is not None and following <= step:
            last, following = following, self.schedule.next_update(following)
        return last


class PruningUpdater:
    """Keeps the masks of a model on schedule; two lines in a custom training loop.

    The callback `tfprune.UpdatePruningStep` uses it during `fit`. In a loop of your own, create one
    before the loop and call `update()` after each optimizer step.

    The pruning step is the number of optimizer updates since pruning began (a gradient accumulation
    counts once). It is saved with the model, so that a loaded model goes on where it stopped. On
    creation, updates that are due already, such as one at `begin_step=0`, are made.

    Args:
        model: a built model with `PrunedLayer`s.
        optimizer: the optimizer that trains it; `model.optimizer` by default.
        completed: optimizer updates that were completed when this training began; those completed
            now by default.

    Raises:
        ValueError: if the model has no pruned layers, is not built, or there is no optimizer.

    Example:
        >>> import tfprune
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> pruned = tfprune.prune(model, tfprune.OneShot(0.5))
        >>> updater = PruningUpdater(pruned, keras.optimizers.SGD())  # before the loop
        >>> updater.update()  # after each optimizer.apply(...)
        >>> updater.step
        0
    """

    def __init__(
        self, model: keras.Model, optimizer: Any = None, *, completed: int | None = None
    ):
        optimizer = optimizer or getattr(model, "optimizer", None)
        self._layers = pruned_layers(model)
        if not self._layers:
            raise ValueError(
                f"Model '{model.name}' has no pruned layers: wrap it with tfprune.prune first."
            )
        unbuilt = [layer.name for layer in self._layers if not layer.built]
        if unbuilt:
            raise ValueError(
                f"Model '{model.name}' must be built: give it a keras.Input, or call it on a "
                f"batch. Received: unbuilt layers {unbuilt}."
            )
        if optimizer is None:
            raise ValueError(f"Model '{model.name}' must be compiled, or an optimizer be passed.")
        self._iterations, self._accumulation = step_counter(optimizer)
        self._live = LiveVariables()
        self._groups = _grouped(self._layers)
        recorded = [int(host_array(layer.pruning_step.value)) for layer in self._layers]
        self.step = max(0, *recorded)
        self._offset = self.step - (
            self._completed(self._live) if completed is None else completed
        )
        self._write_step(self._layers, self._live)
        for layer in self._layers:
            layer.has_updater = True
        fresh = {id(layer) for layer, step in zip(self._layers, recorded) if step == NOT_BEGUN}
        begun = _grouped([layer for layer in self._layers if id(layer) in fresh])
        self.updated_at_start = self._update_masks(begun, NOT_BEGUN, self._live)

    def update(self, variables: Variables | None = None) -> None:
        """Record the optimizer steps made since the last call and make the mask updates now due.

        Where several steps were made, an update that fell between them is made once, with the
        sparsity that it asks for.

        Args:
            variables: where values live; the variables themselves by default.
        """
        variables = variables or self._live
        before, self.step = self.step, self._completed(variables) + self._offset
        if self.step == before:
            return
        updated = self._update_masks(self._groups, before, variables)
        self._write_step(self._layers if updated else self._layers[:1], variables)

    def refresh(self) -> None:
        """Recompute the masks from the present weights, at the sparsity of their last update.

        For use after the weights have been changed by something else than training.
        """
        self._update_masks(self._groups, NOT_BEGUN, self._live)

    def finish(self) -> None:
        """Record the step in every layer; call it when training ends."""
        self._write_step(self._layers, self._live)
        for layer in self._layers:
            layer.has_updater = self.next_update() is None  # finished masks need no more updates

    def next_update(self) -> int | None:
        """Return the step of the next mask update after the present step, None if none is left."""
        following = [group.schedule.next_update(self.step) for group in self._groups]
        return min((step for step in following if step is not None), default=None)

    def _completed(self, variables: Variables) -> int:
        return int(host_array(variables.read(self._iterations))) // self._accumulation

    def _update_masks(self, groups: list[_Group], after: int, variables: Variables) -> bool:
        """Make the last update in (after, step] of every group; say whether there was any.

        All masks are made before the first one is set, so that an error leaves them as they were.
        """
        due = [(group, group.last_update(after, self.step)) for group in groups]
        made = [(group, group.masks_at(at, variables)) for group, at in due if at is not None]
        for group, masks in made:
            for name, mask in masks.items():
                for variable in group.masks[name]:
                    value = keras.ops.convert_to_tensor(mask, dtype="bool")
                    variables.write(variable, value)
        return bool(made)

    def _write_step(self, layers: list[PrunedLayer], variables: Variables) -> None:
        # All layers of a model share one step. Every batch it is recorded in the first one only,
        # which costs nothing; the largest step recorded is the model's.
        for layer in layers:
            value = keras.ops.convert_to_tensor(self.step, dtype="int32")
            variables.write(layer.pruning_step, value)


def completed_updates(optimizer: Any) -> int:
    """Return the optimizer updates completed so far; a gradient accumulation counts once.

    Args:
        optimizer: a Keras optimizer, a `LossScaleOptimizer` too.

    Example:
        >>> completed_updates(keras.optimizers.SGD())
        0
    """
    iterations, accumulation = step_counter(optimizer)
    return int(host_array(iterations.value)) // accumulation


def step_counter(optimizer: Any) -> tuple[keras.Variable, int]:
    """Return the variable that counts gradient steps, and how many of them make an update.

    Args:
        optimizer: a Keras optimizer, a `LossScaleOptimizer` too.

    Example:
        >>> step_counter(keras.optimizers.SGD(gradient_accumulation_steps=4))[1]
        4
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    iterations = next(v for v in optimizer.variables if v.name == "iteration")
    return iterations, optimizer.gradient_accumulation_steps or 1


def _grouped(layers: list[PrunedLayer]) -> list[_Group]:
    """Return groups of equal schedule, scorer and distribution; a tied weight is in one, once."""
    groups: list[_Group] = []
    masks_of: dict[int, list[keras.Variable]] = {}
    names: set[str] = set()
    for layer in layers:
        for own in layer.pruned:
            if id(own.weight) in masks_of:
                masks_of[id(own.weight)].append(own.mask)
                continue
            masks_of[id(own.weight)] = [own.mask]
            name = _unique(own.weight.path, names)
            group = next((g for g in groups if _belongs(g, layer, own)), None)
            if group is None:
                group = _Group(own.schedule, layer.scorer, layer.distribution, {}, {}, {})
                groups.append(group)
            group.weights[name] = own.weight
            group.masks[name] = masks_of[id(own.weight)]
            group.structures[name] = layer.structure
    return groups


def _belongs(group: _Group, layer: PrunedLayer, own: PrunedWeight) -> bool:
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
