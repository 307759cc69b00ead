"""The epoch of a training that is best on examples kept apart from it."""

from collections.abc import Callable

import keras
import numpy as np


class BestEpoch(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the lowest loss.

    Args:
        model: that will be trained.
        loss: model -> loss of the examples kept apart.
        from_step: epochs that end before so many optimizer steps do not count, such as those in
            which a model is not yet as sparse as it is to be.

    Attributes:
        variables: what was kept; a checkpoint has to have them.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.compile("sgd", "mse")
        >>> losses = iter([2.0, 1.0, 3.0])
        >>> best = BestEpoch(model, lambda model: next(losses))
        >>> x = np.ones((1, 1))
        >>> best.set_model(model)
        >>> for epoch in range(3):
        ...     model.set_weights([x * epoch])
        ...     best.on_epoch_end(epoch)
        >>> best.restore(model)
        >>> model.get_weights()[0].tolist()
        [[1.0]]
    """

    def __init__(
        self, model: keras.Model, loss: Callable[[keras.Model], float], *, from_step: int = 0
    ):
        super().__init__()
        self._loss, self._from_step = loss, from_step
        self._lowest = keras.Variable(np.inf, trainable=False, dtype="float32", name="lowest")
        self._weights = [
            keras.Variable(keras.ops.copy(own.value), trainable=False, dtype=own.dtype)
            for own in model.weights
        ]
        self.variables = [self._lowest, *self._weights]

    def on_epoch_end(self, epoch, logs=None):
        if int(self.model.optimizer.iterations.numpy()) < self._from_step:
            return
        loss = self._loss(self.model)
        if loss < float(self._lowest.numpy()):
            self._lowest.assign(loss)
            for kept, own in zip(self._weights, self.model.weights, strict=True):
                kept.assign(own.value)

    def restore(self, model: keras.Model) -> None:
        """Set the weights of a model to those that were kept.

        Raises:
            ValueError: if no epoch has counted.
        """
        if not np.isfinite(float(self._lowest.numpy())):
            raise ValueError("no epoch had a finite loss that counted")
        for own, kept in zip(model.weights, self._weights, strict=True):
            own.assign(kept.value)
