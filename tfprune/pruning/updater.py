"""Mask updates between optimizer steps, for the callback and for custom training loops alike.

What one update computes is in `tfprune.wrapping.mask_update`; here is when it happens.
"""

import keras

from tfprune.calibration.source import EvidenceOptions, EvidenceSource
from tfprune.pruning.coupled_weights import coupling_of
from tfprune.pruning.frozen_weights import warn_frozen
from tfprune.pruning.step_counter import Counting, StepCounter, read_integer
from tfprune.scorers.protocol import Evidence, needs_of
from tfprune.support.by_identity import ByIdentity
from tfprune.support.tensors import Data, Loss
from tfprune.support.validation import require_integer, require_methods
from tfprune.wrapping.added_state import NOT_BEGUN
from tfprune.wrapping.cohorts import Cohort, built_layers, cohorts_of
from tfprune.wrapping.mask_update import (
    LiveVariables,
    UpdateOptions,
    UpdateRule,
    Variables,
    keep_highest,
    run_update,
)
from tfprune.wrapping.optimizer_slots import reset_where_masked
from tfprune.wrapping.pruned_layer import PrunedLayer
from tfprune.wrapping.running_fit import lay_out
from tfprune.wrapping.shortfall import notice_of, tell_shortfall


class PruningUpdater:
    """Keeps the masks of a model on schedule; two lines in a custom training loop.

    The callback `tfprune.UpdatePruningStep` uses it during `fit`. In a loop of your own, create one
    before the loop and call `update()` after each optimizer step, outside of compiled functions.

    The pruning step is the number of optimizer updates since pruning began (a gradient accumulation
    counts once). It is saved with the model, so that a loaded model goes on where it stopped.
    Creating an updater changes nothing about the model but that it may be trained. Updates that are
    due already, such as one at `begin_step=0`, are made by `begin()`, or by the first `update()`. A
    frozen layer keeps its masks; what it missed is made up for at the update after it is unfrozen.

    Args:
        model: a built model with `PrunedLayer`s.
        optimizer: the optimizer that trains it, `model.optimizer` by default; or what else counts
            its updates, an integer `keras.Variable` or a function that returns their number.
        completed: optimizer updates that were completed when this training began; those completed
            now by default.
        steps: optimizer steps of the whole training, >= 1, for schedules in shares of it.
        data: examples for scorers that need evidence, in any form that `fit` takes; inputs alone
            will do for those that look at no loss. Arrays give other random examples at each
            update, a `tf.data.Dataset` is read from its beginning each time, a generator is read
            once.
        loss: loss for scorers that need gradients, as in `compile`; that of the model by default.
        examples: most examples used at an update, integer >= 2; None uses all.
        update_weights: let scorers that can (WoodFisher, Reconstruction) change the kept weights at
            an update.
        update_rule: how masks follow from scores (`tfprune.wrapping.mask_update.UpdateRule`); by
            default the highest scores are kept.
        verbose: show progress bars of passes over the examples, on a terminal.

    Raises:
        TypeError: if an argument is of the wrong kind; ValueError if it is out of its range, the
            model has no pruned layers, is not built, there is no optimizer, or a scorer needs data
            that is missing or does not fit.

    Example:
        >>> import tfprune
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> pruned = tfprune.prune(model, tfprune.OneShot(0.5))
        >>> updater = PruningUpdater(pruned, keras.optimizers.SGD())  # before the loop
        >>> updater.begin()  # if the first step is to see the masks that are due before it
        True
        >>> updater.update()  # after each optimizer.apply(...)
        >>> updater.step
        0
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: Counting | None = None,
        *,
        completed: int | None = None,
        steps: int | None = None,
        data: Data | None = None,
        loss: Loss = None,
        examples: int | None = 1000,
        update_weights: bool = True,
        update_rule: UpdateRule = keep_highest,
        verbose: bool = True,
    ):
        options = EvidenceOptions(data, loss, examples, verbose=verbose)
        if steps is not None:
            require_integer("steps", steps, minimum=1)
        self._layers = built_layers(model)
        lay_out(self._layers, steps)
        optimizer = getattr(model, "optimizer", None) if optimizer is None else optimizer
        if optimizer is None:
            raise ValueError(f"Model '{model.name}' must be compiled, or an optimizer be passed.")
        self._optimizer, self._counter = optimizer, StepCounter(optimizer)
        self._live = LiveVariables()
        self._cohorts = cohorts_of(self._layers)
        self._weights = {n: w for cohort in self._cohorts for n, w in cohort.weights.items()}
        name_of = ByIdentity((weight, name) for name, weight in self._weights.items())
        self._names = [[name_of[own.weight] for own in layer.pruned] for layer in self._layers]
        coupled = coupling_of(model, self._cohorts)
        self._options = UpdateOptions(update_rule, update_weights, accumulate=True, coupled=coupled)
        self._noted = self._counter.begun_at(completed)
        self.begun, self.step, self._offset = False, 0, 0
        self._take_position(self._noted, self._live)
        self._source: EvidenceSource | None = None
        if self._evidence_ahead():
            needs = needs_of(update_rule)
            self._source = EvidenceSource(model, self._cohorts, options, needs=needs)
        for layer in self._layers:
            layer.has_updater = True

    def begin(self) -> bool:
        """Begin training from the step that the model has recorded, and make the updates due at it.

        Returns:
            Whether any mask was updated.
        """
        return self._begin(self._counter(), self._live)

    def update(self, variables: Variables | None = None) -> None:
        """Record the optimizer steps made since the last call and make the mask updates now due.

        Where several steps were made, an update that fell between them is made once, with the
        sparsity that it asks for. If the model was set back to an earlier step meanwhile (by a
        callback that restores weights), training goes on from that step. In a loop that hands state
        from step to step (JAX), write it back to the variables before, and read it again after.

        Args:
            variables: where values live; the variables themselves by default.

        Raises:
            ValueError: inside a compiled function; or if scores are NaN or of a wrong shape, and
                then no mask has changed.

        Warns:
            UserWarning: if many calls see no optimizer step.
        """
        variables = self._live if variables is None else variables
        require_methods("variables", variables, "read", "write", "show")
        if not self.begun:
            self._begin(self._noted, variables, made_since=True)
            return
        self._follow_model(variables)
        before, self.step = self.step, self._counter(variables) + self._offset
        self._counter.note(self.step != before, waited_for=self.next_update)
        if self.step != before:
            updated = self._update_masks(self._due(), variables)
            self._write_step(variables, everywhere=updated)

    def refresh(self) -> None:
        """Recompute the masks from the present weights, at the sparsity of their last update.

        For use after the weights have been changed by something else than training.
        """
        last = [(cohort, cohort.last_update(NOT_BEGUN, self.step)) for cohort in self._cohorts]
        self._update_masks([(cohort, at) for cohort, at in last if at is not None], self._live)

    def finish(self) -> None:
        """Record the step in every layer; call it when training ends.

        Warns:
            UserWarning: naming the layers that were frozen when they should have been updated, or
                if the schedule is not at its end and that has not been said.
        """
        self._follow_model(self._live)
        missed = self._write_step(self._live, everywhere=True)
        remedy = "They make up for it at the first update after they are unfrozen."
        if warn_frozen(missed, remedy, stacklevel=4):
            notice_of(self._layers).told = True
        advice = "Training has ended before the schedule; another fit goes on from there."
        tell_shortfall(self._layers, advice, ended=True)
        for layer in self._layers:
            layer.has_updater = False  # finished masks need none

    def next_update(self) -> int | None:
        """Return the step of the first mask update that is still to be made, None if none is."""
        following = [
            cohort.schedule.next_update(min(self._since[name] for name in trainable))
            for cohort in self._cohorts
            if (trainable := cohort.trainable())
        ]
        return min((step for step in following if step is not None), default=None)

    def _begin(self, completed: int, variables: Variables, made_since: bool = False) -> bool:
        self._take_position(completed, variables)
        self.begun = True
        if made_since:
            self.step = self._counter(variables) + self._offset
        updated = self._update_masks(self._due(), variables)
        self._write_step(variables, everywhere=True)
        return updated

    def _take_position(self, completed: int, variables: Variables) -> None:
        """Read the step of every layer; the largest is the model's, at `completed` updates."""
        recorded = [read_integer(layer.pruning_step, variables) for layer in self._layers]
        self.step = max(0, *recorded)
        self._offset = self.step - completed
        self._since: dict[str, int] = {}  # the step up to which a weight's updates are made
        for names, step in zip(self._names, recorded):
            for name in names:
                self._since[name] = min(step, self._since.get(name, step))
        self._recorder: PrunedLayer | None = None

    def _follow_model(self, variables: Variables) -> None:
        """Go to the step of the model, where it is no longer the one that was recorded last."""
        if self._recorder is None:
            return
        recorded = read_integer(self._recorder.pruning_step, variables)
        if recorded < self.step:  # set back, but not the optimizer
            self._take_position(self.step - self._offset, variables)
        elif recorded > self.step:  # taken further by another updater, with the optimizer
            self._take_position(recorded - self._offset, variables)

    def _evidence_ahead(self) -> bool:
        """Return whether an update that is still to be made looks at evidence."""
        return any(
            (needs_of(cohort.scorer) | needs_of(self._options.rule))
            and cohort.schedule.next_update(min(self._since[name] for name in cohort.weights))
            is not None
            for cohort in self._cohorts
        )

    def _due(self) -> list[tuple[Cohort, int]]:
        """Return what is to be updated: the weights, and the step at which they should have been.

        Weights of one cohort are apart where some of them were frozen at an update.
        """
        found = []
        for cohort in self._cohorts:
            oldest = min(self._since[name] for name in cohort.weights)
            following = cohort.schedule.next_update(oldest)
            if following is None or following > self.step:
                continue  # most steps
            parts: dict[int, list[str]] = {}
            for name in cohort.trainable():
                parts.setdefault(self._since[name], []).append(name)
            for since, names in parts.items():
                at = cohort.last_update(since, self.step)
                if at is not None:
                    found.append((cohort.only(names), at))
        return found

    def _update_masks(self, due: list[tuple[Cohort, int]], variables: Variables) -> bool:
        updates = run_update(due, self._measured, variables, self._options)
        for update in updates:
            self._since |= dict.fromkeys(update.masks, self.step)
            reset_where_masked(self._optimizer, self._weights, update.masks, variables)
        return bool(updates)

    def _measured(self, step: int) -> Evidence:
        if self._source is None:  # no update was ahead when this began
            raise ValueError("`data` must be given to score again. Received: no examples.")
        return self._source.evidence(seed=step)

    def _write_step(self, variables: Variables, *, everywhere: bool) -> list[tuple[Cohort, int]]:
        """Record the step, every batch in one layer only, which costs nothing.

        The largest step recorded is the model's. Layers that have missed an update keep the step
        before it, so that it is made up for once they are unfrozen, after loading too.

        Returns:
            What was missed, if the step is recorded everywhere.
        """
        missed: list[tuple[Cohort, int]] = []
        if everywhere:
            for cohort in self._cohorts:
                for name in cohort.weights:
                    at = cohort.last_update(self._since[name], self.step)
                    if at is not None:
                        missed.append((cohort.only([name]), at))
            behind = {name for cohort, _ in missed for name in cohort.weights}
            pairs = zip(self._layers, self._names)
            layers = [layer for layer, names in pairs if behind.isdisjoint(names)]
            self._recorder = layers[0] if layers else None
        else:
            layers = [] if self._recorder is None else [self._recorder]
        for layer in layers:
            variables.write(
                layer.pruning_step, keras.ops.convert_to_tensor(self.step, dtype="int32")
            )
        return missed
