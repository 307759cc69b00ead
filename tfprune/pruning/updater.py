"""Mask updates between optimizer steps, for the callback and for custom training loops alike.

What one update computes is in `tfprune.wrapping.mask_update`; here is when it happens.
"""

from typing import Any

import keras

from tfprune.calibration.source import EvidenceOptions, EvidenceSource
from tfprune.scorers.protocol import needs_gradients
from tfprune.sparsity.selection import Scores
from tfprune.support.arrays import host_array
from tfprune.wrapping.mask_update import LiveVariables, Update, Variables, WeightGroup, grouped
from tfprune.wrapping.pruned_layer import NOT_BEGUN, PrunedLayer, pruned_layers


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
        data: examples for scorers that need gradients, in any form that `fit` takes. Arrays give
            other random examples at each update, a `tf.data.Dataset` is read from its beginning
            each time, a generator is read once.
        loss: loss for these scorers, as in `compile`; that of the model by default.
        examples: most examples used at an update, integer >= 2; None uses all.
        update_weights: let scorers that can (WoodFisher) change the kept weights at an update.
        verbose: show progress bars of passes over the examples, on a terminal.

    Raises:
        ValueError: if the model has no pruned layers, is not built, there is no optimizer, or a
            scorer needs data that is missing or does not fit.

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
        self,
        model: keras.Model,
        optimizer: Any = None,
        *,
        completed: int | None = None,
        data: Any = None,
        loss: Any = None,
        examples: int | None = 1000,
        update_weights: bool = True,
        verbose: bool = True,
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
        self._groups = grouped(self._layers)
        self._update_weights = update_weights
        self._scores: dict[str, Scores] = {}  # of the last update, for scorers that accumulate
        recorded = [int(host_array(layer.pruning_step.value)) for layer in self._layers]
        self.step = max(0, *recorded)
        self._source: EvidenceSource | None = None
        if any(
            needs_gradients(group.scorer) and group.schedule.next_update(min(recorded)) is not None
            for group in self._groups
        ):
            options = EvidenceOptions(data, loss, examples, quiet=not verbose)
            self._source = EvidenceSource(model, self._groups, options)
        self._offset = self.step - (self._completed(self._live) if completed is None else completed)
        self._write_step(self._layers, self._live)
        for layer in self._layers:
            layer.has_updater = True
        fresh = [layer for layer, step in zip(self._layers, recorded) if step == NOT_BEGUN]
        weights = {id(own.weight) for layer in fresh for own in layer.pruned}
        begun = [group.only(weights) for group in self._groups]
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

    def _update_masks(self, groups: list[WeightGroup], after: int, variables: Variables) -> bool:
        """Make the last update in (after, step] of every group; say whether there was any.

        All masks are made before the first one is set, so that an error leaves them as they were.
        """
        due = [(group, group.last_update(after, self.step)) for group in groups]
        measured = None
        made: list[tuple[WeightGroup, Update]] = []
        for group, at in due:
            if at is None:
                continue  # most steps: nothing is read
            weights = {n: host_array(variables.read(w)) for n, w in group.trainable().items()}
            if not weights:
                continue
            evidence = None
            if group.asks_gradients(at) and self._source is not None:
                if measured is None:
                    self._source.take(seed=at)
                    measured = self._source.evidence()
                evidence = measured.only(list(weights))
            known = weights.keys() <= self._scores.keys()
            update = group.update_at(
                at,
                weights,
                evidence,
                previous={name: self._scores[name] for name in weights} if known else None,
                update_weights=self._update_weights,
            )
            made.append((group, update))
        for group, update in made:
            group.apply(update, variables)
            self._scores |= update.scores
        return any(at is not None for group, at in due if group.weights)

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
