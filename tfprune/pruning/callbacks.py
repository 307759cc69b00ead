"""Keras callbacks: mask updates during `fit`, and their record in TensorBoard."""

import importlib.util
import math
import warnings
from typing import Any

import keras
import numpy as np

from tfprune.keras_graph.private_keras import model_in_training, train_writer
from tfprune.pruning.train_function import followed_by
from tfprune.pruning.updater import PruningUpdater, completed_updates, step_counter
from tfprune.support.arrays import host_array
from tfprune.wrapping.mask_update import Variables
from tfprune.wrapping.pruned_layer import pruned_layers


class UpdatePruningStep(keras.callbacks.Callback):
    """Keep the masks on schedule during `fit`; needed to train a pruned model.

    Its place in the list of callbacks does not matter: masks are updated inside the training step,
    before any callback sees the end of the batch.

    Args:
        data: examples for scorers that need gradients, such as the training data; in any form that
            `fit` takes. Arrays give other random examples at each update, a `tf.data.Dataset` is
            read from its beginning each time, a generator is read once.
        loss: loss for these scorers, as in `compile`; that of the model by default.
        examples: most examples used at an update, integer >= 2; None uses all.
        update_weights: let scorers that can (WoodFisher) change the kept weights at an update.
        verbose: show progress bars of passes over the examples, on a terminal.

    Raises:
        ValueError: at the start of `fit`, if the model has no pruned layers, or a scorer needs data
            that is missing or does not fit.

    Warns:
        UserWarning: at the start of a `fit` too short for any mask update to happen.

    Example:
        >>> import tfprune
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> pruned = tfprune.prune(model, tfprune.OneShot(0.5))
        >>> pruned.compile("sgd", "mse")
        >>> x, y = np.ones((8, 4), "float32"), np.ones((8, 2), "float32")
        >>> history = pruned.fit(x, y, verbose=0, callbacks=[UpdatePruningStep()])
        >>> int(np.sum(host_array(pruned.layers[0].pruned[0].mask.value)))
        4
    """

    def __init__(
        self,
        data: Any = None,
        loss: Any = None,
        *,
        examples: int | None = 1000,
        update_weights: bool = True,
        verbose: bool = True,
    ) -> None:
        super().__init__()
        self._options: dict[str, Any] = {
            "data": data,
            "loss": loss,
            "examples": examples,
            "update_weights": update_weights,
            "verbose": verbose,
        }
        self.updater: PruningUpdater | None = None
        self._train_function: Any = None
        self._completed_before = 0

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        if not pruned_layers(model):
            raise ValueError(
                f"Model '{model.name}' has no pruned layers: wrap it with tfprune.prune first, or "
                "leave UpdatePruningStep out."
            )

    def on_train_begin(self, logs: Any = None) -> None:
        model = self.model
        layers = pruned_layers(model)
        self.updater = None
        self._completed_before = completed_updates(model.optimizer)
        if all(layer.built for layer in layers):
            self.updater = PruningUpdater(model, **self._options)
            self._warn_if_too_short(self.updater)
        else:  # the first step builds the model, and the updater follows
            for layer in layers:
                layer.has_updater = True
        # A fit that was interrupted has left its wrapped function behind.
        plain = getattr(model.train_function, "without_updates", model.train_function)
        self._train_function = plain
        model.train_function = followed_by(plain, self._update, model)
        model.train_function.without_updates = plain

    def on_train_end(self, logs: Any = None) -> None:
        self.model.train_function = self._train_function
        if self.updater is not None:
            self.updater.finish()

    def _update(self, variables: Variables) -> None:
        if self.updater is None:  # the first step has built the model
            self.updater = PruningUpdater(
                model_in_training(self), completed=self._completed_before, **self._options
            )
        self.updater.update(variables)

    def _warn_if_too_short(self, updater: PruningUpdater) -> None:
        steps, upcoming = self._steps_ahead(), updater.next_update()
        if steps is None or upcoming is None or updater.updated_at_start:
            return
        if upcoming > updater.step + steps:
            warnings.warn(
                f"No mask update will happen in this fit: it runs from step {updater.step} to "
                f"{updater.step + steps}, and the next update is due at step {upcoming}. Train "
                "longer or change the schedule's begin_step or frequency.",
                stacklevel=2,
            )

    def _steps_ahead(self) -> int | None:
        """Optimizer steps of this fit, None if the length of the data is not known."""
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        if steps is None or epochs is None or not math.isfinite(steps):
            return None
        return math.ceil(steps * epochs / step_counter(self.model.optimizer)[1])


class PruningSummaries(keras.callbacks.TensorBoard):
    """TensorBoard, with the sparsity and the threshold of every pruned weight.

    Writes, at the start and the end of every epoch, `<path>/sparsity` (fraction of masked weights)
    and `<path>/threshold` (largest magnitude among the masked weights, 0 if there are none) against
    the number of optimizer updates.

    Args:
        log_dir: folder for the event files, a non-empty string.
        update_freq: as in `keras.callbacks.TensorBoard`.
        **kwargs: further arguments of `keras.callbacks.TensorBoard`.

    Raises:
        ValueError: if `log_dir` is not a non-empty string.
        ImportError: if TensorBoard is not installed.
    """

    def __init__(self, log_dir: str, update_freq: Any = "epoch", **kwargs: Any) -> None:
        if not isinstance(log_dir, str) or not log_dir:
            raise ValueError(
                f"`log_dir` must be a non-empty string. Received: log_dir={log_dir!r}."
            )
        if importlib.util.find_spec("tensorboard") is None:
            raise ImportError("PruningSummaries needs TensorBoard: pip install tensorboard")
        super().__init__(log_dir=log_dir, update_freq=update_freq, **kwargs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._write_pruning()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_end(epoch, logs)
        self._write_pruning()

    def _write_pruning(self) -> None:
        step = int(self.model.optimizer.iterations)
        with train_writer(self).as_default():
            for layer in pruned_layers(self.model):
                for own in layer.pruned:
                    removed = ~host_array(own.mask.value)
                    magnitudes = np.abs(host_array(own.weight.value)[removed])
                    threshold = float(magnitudes.max()) if magnitudes.size else 0.0
                    path = own.weight.path
                    self.summary.scalar(f"{path}/sparsity", float(removed.mean()), step=step)
                    self.summary.scalar(f"{path}/threshold", threshold, step=step)
