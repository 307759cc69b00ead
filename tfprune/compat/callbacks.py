"""UpdatePruningStep with the signature of tensorflow-model-optimization."""

from tfprune.pruning import callbacks


class UpdatePruningStep(callbacks.UpdatePruningStep):
    """Keep the masks on schedule during `fit`; see `tfprune.UpdatePruningStep`.

    It takes no arguments, since pruning by magnitude needs no examples. In a loop of your own,
    `on_train_begin()`, `on_train_batch_begin` and `on_epoch_end` are enough, as there: what is due
    after the steps made since is done at the next of these calls.

    Example:
        >>> isinstance(UpdatePruningStep(), callbacks.UpdatePruningStep)
        True
    """

    def __init__(self) -> None:
        super().__init__()

    def on_train_batch_begin(self, batch: int, logs: callbacks.Logs = None) -> None:
        super().on_train_batch_begin(batch, logs)
        if self.updater is not None:
            self.updater.update()

    def on_epoch_end(
        self, epoch: int | None = None, logs: callbacks.Logs = None, *, batch: int = 0
    ) -> None:
        """As in Keras; loops written for the other package call it with `batch` alone."""
        if self.updater is not None:
            self.updater.update()
        super().on_epoch_end(batch if epoch is None else epoch, logs)
