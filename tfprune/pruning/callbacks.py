"""The Keras callback that updates masks during `fit`."""

import math
import warnings
from typing import Any

import keras

from tfprune.calibration.source import EvidenceOptions
from tfprune.keras_graph.private_keras import model_in_training
from tfprune.layer_classes.summaries import leave_out_added
from tfprune.pruning.step_counter import Counting, StepCounter
from tfprune.pruning.train_function import Step, after_training, followed_by, plain_function
from tfprune.pruning.updater import PruningUpdater
from tfprune.scorers.protocol import GRADIENTS, needs_of
from tfprune.support.tensors import Data, Loss
from tfprune.support.validation import require_model
from tfprune.wrapping.mask_update import (
    LiveVariables,
    UpdateOptions,
    UpdateRule,
    Variables,
    keep_highest,
)
from tfprune.wrapping.pruned_layer import PrunedLayer, pruned_layers
from tfprune.wrapping.running_fit import arguments_of_fit, lay_out
from tfprune.wrapping.shortfall import masked_share, tell_ahead

Logs = dict[str, float] | None


class UpdatePruningStep(keras.callbacks.Callback):
    """Keep the masks on schedule during training; `fit` of a pruned model needs it.

    Its place in the list of callbacks does not matter: in `fit` and `train_on_batch` masks are
    updated inside the training step, before any callback sees the end of the batch. The share of
    the weights that are masked is the metric "sparsity" of every epoch. In a loop of
    your own, `keras.callbacks.CallbackList([UpdatePruningStep(optimizer=...)], model=model)` will
    do: masks are updated in `on_train_batch_end`. Updates that are due already when training begins
    are made before the first batch.

    Args:
        data: examples for scorers that need evidence, such as the training data; in any form that
            `fit` takes, with sample weights where `fit` has a `class_weight`. Arrays give other
            random examples at each update, a `tf.data.Dataset` is read from its beginning each
            time, a generator is read once.
        loss: loss for scorers that need gradients, as in `compile`; that of the model by default.
        optimizer: the optimizer that trains the model, where it is not `model.optimizer`; or what
            else counts its updates, an integer `keras.Variable` or a function.
        examples: most examples used at an update, integer >= 2; None uses all.
        update_weights: let scorers that can (WoodFisher, Reconstruction) change the kept weights at
            an update.
        update_rule: how masks follow from scores, as in `tfprune.PruningUpdater`.
        verbose: show progress bars of passes over the examples, on a terminal.

    Raises:
        TypeError, ValueError: if an argument is of the wrong kind or out of its range.
        ValueError: at the start of training, if the model has no pruned layers or no optimizer, or
            a scorer needs data that is missing or does not fit; at the end of the first epoch, if
            no optimizer step was counted in it.

    Warns:
        UserWarning: at the start of a `fit` too short for any mask update to happen; or at its
            start or end, once a model and with numbers, if it ends before the schedule; and if it
            has a `class_weight` that scores by gradients do not see.

    Example:
        >>> import numpy as np
        >>> import tfprune
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> pruned = tfprune.prune(model, tfprune.OneShot(0.5))
        >>> pruned.compile("sgd", "mse")
        >>> x, y = np.ones((8, 4), "float32"), np.ones((8, 2), "float32")
        >>> history = pruned.fit(x, y, verbose=0, callbacks=[UpdatePruningStep()])
        >>> history.history["sparsity"]
        [0.5]
    """

    def __init__(
        self,
        data: Data | None = None,
        loss: Loss = None,
        *,
        optimizer: Counting | None = None,
        examples: int | None = 1000,
        update_weights: bool = True,
        update_rule: UpdateRule = keep_highest,
        verbose: bool = True,
    ) -> None:
        super().__init__()
        EvidenceOptions(data, loss, examples, verbose=verbose)
        UpdateOptions(update_rule, update_weights)
        if optimizer is not None:
            StepCounter(optimizer)
        self._options: dict[str, Any] = {
            "data": data,
            "loss": loss,
            "examples": examples,
            "update_weights": update_weights,
            "update_rule": update_rule,
            "verbose": verbose,
        }
        self.updater: PruningUpdater | None = None
        self._optimizer = optimizer
        self._outer_function: Step | None = None  # model.train_function as it was found
        self._completed_before = 0
        self._inside_step = False  # whether the training step has made the update of this batch
        self._class_weight_told = False
        # Of the optimizer at the start; None once it is at work.
        self._signs_before: tuple[float, ...] | None = None

    def set_model(self, model: keras.Model | None = None) -> None:
        if isinstance(self, keras.Model):  # the class itself is in the list of callbacks
            raise TypeError(
                "`callbacks` must hold objects: write UpdatePruningStep(). "
                "Received: callbacks=[UpdatePruningStep]."
            )
        model = require_model("model", model, built=False)
        super().set_model(model)
        if not pruned_layers(model):
            raise ValueError(
                f"Model '{model.name}' has no pruned layers: wrap it with tfprune.prune first, or "
                "leave UpdatePruningStep out."
            )
        leave_out_added(model)  # one that was loaded, too

    def on_train_begin(self, logs: Logs = None) -> None:
        model = self.model
        layers = pruned_layers(model)
        self.updater = None
        self._inside_step = False
        self._counter = StepCounter(self._own_optimizer(model))
        self._completed_before = self._counter()
        self._signs_before = self._counter.signs()
        steps = self._steps_ahead()
        for schedule in lay_out(layers, steps):
            if self._options["verbose"]:
                print(f"Pruning over {steps:,} steps: {schedule}")
        if all(layer.built for layer in layers):
            self.updater = self._make_updater(model)
            self._warn_if_too_short(self.updater)
            self._warn_of_class_weight(layers)
        else:  # the first step builds the model, and the updater follows
            for layer in layers:
                layer.has_updater = True
        if model.train_function is None and model.compiled:
            model.make_train_function()
        self._outer_function = model.train_function
        if model.train_function is not None:
            plain = plain_function(model.train_function)
            model.train_function = followed_by(plain, self._update_inside, model)

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        # Not before: another callback may have restored weights and optimizer in on_train_begin.
        if self.updater is None:
            self._completed_before = self._counter()
        elif not self.updater.begun:
            self.updater.begin()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        # A loop that does without `model.train_function`, or has made it anew. On JAX, asking for
        # the model writes back what `fit` holds, which then takes it up again.
        if not self._inside_step and self.model is not None:
            self._update(LiveVariables())
        self._inside_step = False

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if logs is not None:
            logs["sparsity"] = masked_share(pruned_layers(self.model))
        if self._signs_before is None or not self.model.trainable_variables:
            return
        if self._counter.signs() == self._signs_before:
            raise ValueError(
                "UpdatePruningStep has counted no optimizer step in a whole epoch, so no mask is "
                "updated. Tell it which optimizer trains the model: "
                f"UpdatePruningStep(optimizer=...). Received: optimizer={self._optimizer!r}."
            )
        self._signs_before = None

    def on_train_end(self, logs: Logs = None) -> None:
        model = self.model
        if self.updater is not None:
            self.updater.finish()
        if self._outer_function is not None:
            model.train_function = after_training(self._outer_function, pruned_layers(model))

    def _own_optimizer(self, model: keras.Model) -> Counting:
        if self._optimizer is not None:
            return self._optimizer
        optimizer = getattr(model, "optimizer", None)
        if optimizer is None:
            raise ValueError(
                f"Model '{model.name}' must be compiled, or the optimizer that trains it be given: "
                "UpdatePruningStep(optimizer=...)."
            )
        return optimizer

    def _make_updater(self, model: keras.Model) -> PruningUpdater:
        return PruningUpdater(
            model,
            self._own_optimizer(model),
            completed=self._completed_before,
            **self._options,
        )

    def _update_inside(self, variables: Variables) -> None:
        self._inside_step = True
        self._update(variables)

    def _update(self, variables: Variables) -> None:
        if self.updater is None:  # the first step has built the model
            self.updater = self._make_updater(model_in_training(self))
        self.updater.update(variables)

    def _warn_if_too_short(self, updater: PruningUpdater) -> None:
        steps, upcoming = self._steps_ahead(), updater.next_update()
        if steps is None:
            return
        if upcoming is not None and upcoming > updater.step + steps:
            warnings.warn(
                f"No mask update will happen in this fit: it runs from step {updater.step} to "
                f"{updater.step + steps}, and the next update is due at step {upcoming}. Train "
                "longer or change the schedule's begin_step or frequency.",
                stacklevel=2,
            )
        tell_ahead(pruned_layers(self.model), updater.step + steps)

    def _warn_of_class_weight(self, layers: list[PrunedLayer]) -> None:
        given = (arguments_of_fit(layers) or {}).get("class_weight")
        needy = [layer.scorer for layer in layers if GRADIENTS in needs_of(layer.scorer)]
        if given and needy and not self._class_weight_told:
            self._class_weight_told = True
            warnings.warn(
                "The `class_weight` of fit does not reach the examples that "
                f"{type(needy[0]).__name__} scores on. Weigh these by data=(x, y, sample_weight).",
                stacklevel=2,
            )

    def _steps_ahead(self) -> int | None:
        """Optimizer steps of this fit, None if the length of the data is not known."""
        params = self.params or {}
        steps, epochs = params.get("steps"), params.get("epochs")
        if steps is None or epochs is None or not math.isfinite(steps):
            return None
        given = arguments_of_fit(pruned_layers(self.model)) or {}
        epochs -= given.get("initial_epoch") or 0  # `epochs` is the number of the last one
        return math.ceil(steps * max(0, epochs) / self._counter.batches)
