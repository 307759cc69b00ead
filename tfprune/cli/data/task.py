"""What a classifier's outputs and labels mean: its loss and its accuracy."""

import dataclasses

import keras
import numpy as np

from tfprune.calibration.examples import Examples
from tfprune.cli.data.sources import Data

_FEW = 32  # examples that show what the model gives


@dataclasses.dataclass(frozen=True)
class Task:
    """A classification that a model can be trained for.

    Attributes:
        data: its examples, whose labels are class numbers.
        loss: cross-entropy on what the model gives: probabilities or logits.
    """

    data: Data
    loss: keras.losses.Loss

    @property
    def loss_in_words(self) -> str:
        """What the loss is computed on."""
        logits = self.loss.get_config()["from_logits"]
        return f"cross-entropy on {'logits' if logits else 'probabilities'}"

    def accuracy(self, model: keras.Model) -> float:
        """Return the fraction of the test labels that the model predicts."""
        outputs = model.predict(self.data.test.x, batch_size=512, verbose=0)
        return float(np.mean(outputs.argmax(axis=-1) == self.data.test.y))


def task_for(model: keras.Model, data: Data) -> Task:
    """Return the task of a model on examples.

    Args:
        model: inputs -> (n, classes) or, for one label a position, (n, ..., classes).
        data: examples with class numbers or one-hot labels.

    Raises:
        ValueError: if the model does not take the inputs, or its outputs are no classification of
            these labels.
    """
    few = data.test.take(slice(_FEW))
    try:
        given = model(few.x)
    except Exception as error:  # every backend has its own types for a shape that does not fit
        shapes = " and ".join(str(array.shape[1:]) for array in keras.tree.flatten(few.x))
        raise ValueError(
            f"the model must take the inputs of {data.name!r}, of shape {shapes}. Received: "
            f"{_own_shape(model) or error}"
        ) from error
    if not hasattr(given, "shape") or len(given.shape) < 2:
        raise ValueError("the model must give one output, of shape (n, classes), to be classified")
    outputs = np.asarray(keras.ops.convert_to_numpy(given), np.float32)
    train, test = (
        _with_class_numbers(part, outputs, data.name) for part in (data.train, data.test)
    )
    classes = 1 + max(int(np.asarray(part.y).max()) for part in (train, test))
    if outputs.shape[-1] < classes:
        raise ValueError(
            f"the model must have one output for each of the {classes} classes of {data.name!r}. "
            f"Received: outputs of shape {outputs.shape[1:]}."
        )
    sums = outputs.sum(axis=-1)
    probabilities = outputs.min() >= 0 and np.allclose(sums, 1, atol=1e-2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not probabilities)
    return Task(dataclasses.replace(data, train=train, test=test), loss)


def _with_class_numbers(examples: Examples, outputs: np.ndarray, name: str) -> Examples:
    """The examples with labels of the outputs' shape, but for the axis of the classes."""
    labels = examples.y
    if not isinstance(labels, np.ndarray):
        raise ValueError(f"the labels of {name!r} must be one array")
    shape = (examples.count, *outputs.shape[1:])
    numbers = labels
    if labels.shape == shape and shape[-1] > 1 and (labels.sum(axis=-1) == 1).all():
        numbers = labels.argmax(axis=-1)
    elif labels.shape == (*shape[:-1], 1):
        numbers = labels[..., 0]
    whole = numbers.dtype.kind in "biuf" and (numbers >= 0).all() and (numbers % 1 == 0).all()
    if numbers.shape != shape[:-1] or not whole:
        raise ValueError(
            f"the labels of {name!r} must be class numbers of shape {_of_n(shape[1:-1])}, or "
            f"one-hot of shape {_of_n(shape[1:])}, as the model's outputs are. Received: "
            f"{labels.dtype} of shape {_of_n(labels.shape[1:])}."
        )
    return dataclasses.replace(examples, y=numbers.astype("int32"))


def _own_shape(model: keras.Model) -> str:
    """What the inputs of a model must be like; "" for a subclassed one."""
    shape = getattr(model, "input_shape", None)
    return "" if shape is None else f"a model for inputs of shape {shape}"


def _of_n(shape: tuple[int, ...]) -> str:
    """The shape of n of these."""
    return f"({', '.join(['n', *map(str, shape)])}{'' if shape else ','})"
