"""The record of pruning in TensorBoard."""

import importlib.util

import keras
import numpy as np

from tfprune.keras_graph.private_keras import train_writer
from tfprune.support.arrays import host_array
from tfprune.support.validation import require_integer
from tfprune.wrapping.cohorts import unique_name
from tfprune.wrapping.pruned_layer import pruned_layers

Logs = dict[str, float] | None


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

    def __init__(self, log_dir: str, update_freq: str | int = "epoch", **kwargs: object) -> None:
        if not isinstance(log_dir, str) or not log_dir or "\0" in log_dir:
            raise ValueError(
                f"`log_dir` must be a non-empty string. Received: log_dir={log_dir!r}."
            )
        if update_freq not in ("batch", "epoch"):
            require_integer("update_freq", update_freq, minimum=1)
        if importlib.util.find_spec("tensorboard") is None:
            raise ImportError("PruningSummaries needs TensorBoard: pip install tensorboard")
        super().__init__(log_dir=log_dir, update_freq=update_freq, **kwargs)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._write_pruning()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        super().on_epoch_end(epoch, logs)
        self._write_pruning()

    def _write_pruning(self) -> None:
        step, taken = int(self.model.optimizer.iterations), set[str]()
        with train_writer(self).as_default():
            for layer in pruned_layers(self.model):
                for own in layer.pruned:
                    removed = ~host_array(own.mask.value)
                    magnitudes = np.abs(host_array(own.weight.value)[removed])
                    threshold = float(magnitudes.max()) if magnitudes.size else 0.0
                    path = unique_name(own.weight.path, taken)
                    self.summary.scalar(f"{path}/sparsity", float(removed.mean()), step=step)
                    self.summary.scalar(f"{path}/threshold", threshold, step=step)
