"""The mean loss of a model, and whether it can take the examples: forward passes on any backend.

The model runs eagerly, in inference mode and inside a `keras.StatelessScope`, so that a pass cannot
change it. `tfprune.calibration.derivatives` has the same two passes compiled.
"""

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np

from tfprune.calibration.examples import AnyExamples, Examples
from tfprune.calibration.losses import LossFunction
from tfprune.support.tensors import Tensor

_LOSS_BATCH = 256  # examples at once where only the loss is asked for


class ForwardPasses:
    """Passes without derivatives.

    Args:
        model: built model; it runs in inference mode and is never changed.
        loss: from `tfprune.calibration.losses.loss_function`; None where only inputs count.

    Example:
        >>> from tfprune.calibration.losses import loss_function
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.set_weights([np.ones((2, 1)), np.zeros(1)])
        >>> passes = ForwardPasses(model, loss_function(model, "mse"))
        >>> passes.loss(Examples(np.ones((4, 2)), np.zeros((4, 1))))
        4.0
    """

    def __init__(self, model: keras.Model, loss: LossFunction | None):
        self._model = model
        self._loss = loss

    def check(self, examples: AnyExamples) -> None:
        """Run two examples of every shape, so that bad data or models end in one clear error.

        Raises:
            ValueError: if the model cannot take these inputs or the loss these targets, or the loss
                is not finite.
        """
        for part in examples.parts:
            with said_of(part):
                loss = self._of(part.take(slice(2)))
            require_finite("the loss", loss)

    def loss(self, examples: AnyExamples) -> float:
        """Return the mean loss; raises ValueError if it is not finite."""
        return mean_loss(self._of, examples)

    def _of(self, batch: Examples) -> float:
        """Return the loss of a batch, zero where there is none."""
        x, y, sample_weight = batch.pack(list(map(keras.ops.convert_to_tensor, batch.leaves())))
        with keras.StatelessScope():
            outputs = self._model(x, training=False)
            return 0.0 if self._loss is None else float(self._loss(y, outputs, sample_weight, 1))


def mean_loss(loss_of: Callable[[Examples], float], examples: AnyExamples) -> float:
    """Return the mean loss over examples of what gives that of a batch.

    Raises:
        ValueError: if it is not finite.
    """
    total = 0.0
    for batch in examples.batches(_LOSS_BATCH):
        value = loss_of(batch)
        require_finite("the loss", value)
        total += value * batch.count
    return total / examples.count


@contextlib.contextmanager
def said_of(examples: Examples) -> Iterator[None]:
    """Turn what goes wrong inside into one error about the examples."""
    try:
        yield
    except Exception as error:  # backends, Keras and user code each have their own types
        shapes = [leaf.shape[1:] for leaf in examples.leaves()]
        reason = " ".join(str(error).split())[:400]
        raise ValueError(
            "The model and the loss must take the examples of `data`. Received: arrays of "
            f"shapes {shapes} an example, and {type(error).__name__}: {reason}"
        ) from error


def require_finite(what: str, values: Tensor | np.ndarray | float) -> None:
    """Raise ValueError unless every number is finite."""
    array = np.asarray(values)
    if not np.isfinite(array).all():
        bad = array[~np.isfinite(array)].flat[0]
        raise ValueError(f"Scoring needs finite numbers. Received: {what} is {bad}.")
