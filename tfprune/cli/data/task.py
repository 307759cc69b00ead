"""What a model's outputs and labels mean: the loss, and what is measured on test examples."""

import dataclasses

import keras
import numpy as np

from tfprune.calibration.examples import Examples
from tfprune.cli.data.sources import Data

_FEW = 32  # examples that show what the model gives
_CLASSES = ("sparse_categorical_crossentropy", "categorical_crossentropy")
_BINARY = ("binary_crossentropy", "binary_focal_crossentropy")


@dataclasses.dataclass(frozen=True)
class Task:
    """What a model can be trained for.

    Attributes:
        data: its examples; labels are class numbers, 0 and 1, or numbers of the outputs' shape.
        loss: as `keras.Model.compile` takes it; None where there are no labels.
        loss_in_words: what the loss is computed on.
        measure: "accuracy" where labels are classes, else "loss".
        boundary: output from which on a label of 0 or 1 counts as predicted to be 1; None for
            others.
    """

    data: Data
    loss: keras.losses.Loss | None
    loss_in_words: str
    measure: str
    boundary: float | None = None

    def measured(self, model: keras.Model) -> float:
        """Return the fraction of the test labels that a model predicts, or its mean test loss."""
        labels = np.asarray(self.data.test.y)
        outputs = model.predict(self.data.test.x, batch_size=512, verbose=0)
        if self.measure == "loss":
            assert self.loss is not None
            return float(keras.ops.mean(self.loss(labels, outputs)))
        if self.boundary is None:
            return float(np.mean(outputs.argmax(axis=-1) == labels))
        return float(np.mean((outputs > self.boundary) == (labels > 0.5)))

    def note(self, named: str | None) -> str:
        """Return the line on the loss.

        Args:
            named: the loss that the user named; None where it was guessed.
        """
        how = "" if named else ", by the model's outputs and the labels (--loss names another)"
        return f"Loss: {self.loss_in_words}{how}"

    def in_words(self, value: float) -> str:
        """Return a measured value as text."""
        return f"{value:.2%}" if self.measure == "accuracy" else f"{value:.4g}"


def task_for(model: keras.Model, data: Data, loss: str | None = None) -> Task:
    """Return the task of a model on examples.

    Args:
        model: inputs -> (n, ..., outputs).
        data: examples with class numbers, one-hot labels, zeros and ones, or other numbers.
        loss: name of a Keras loss; None guesses it: cross-entropy for class numbers, binary
            cross-entropy for zeros and ones, the mean squared error for other numbers.

    Raises:
        ValueError: if the model does not take the inputs, or its outputs do not fit the labels.
    """
    outputs = _outputs(model, data)
    if loss is None:
        loss = _guessed(outputs, data)
    if loss in _CLASSES:
        return _classification(outputs, data)
    train, test = (_of_shape(part, outputs, data.name) for part in (data.train, data.test))
    data = dataclasses.replace(data, train=train, test=test)
    if loss not in _BINARY:
        return Task(data, getattr(keras.losses, _class_name(loss))(), _said(loss), "loss")
    logits = outputs.min() < 0 or outputs.max() > 1
    made = {
        "binary_crossentropy": keras.losses.BinaryCrossentropy,
        "binary_focal_crossentropy": keras.losses.BinaryFocalCrossentropy,
    }[loss](from_logits=bool(logits))
    said = f"{_said(loss)} on {'logits' if logits else 'probabilities'}"
    return Task(data, made, said, "accuracy", 0.0 if logits else 0.5)


def unlabelled(data: Data) -> Task:
    """Return the task of examples without labels: nothing is measured on them."""
    return Task(data, None, "none", "loss")


def _outputs(model: keras.Model, data: Data) -> np.ndarray:
    """What the model gives for a few examples."""
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
    for part in (data.train, data.test):
        if not isinstance(part.y, np.ndarray):
            raise ValueError(f"the labels of {data.name!r} must be one array")
    return np.asarray(keras.ops.convert_to_numpy(given), np.float32)


def _guessed(outputs: np.ndarray, data: Data) -> str:
    """The loss that fits the outputs and the labels."""
    parts = [np.asarray(part.y) for part in (data.train, data.test)]
    shape = outputs.shape[1:]
    shapes = (shape, shape[:-1]) if shape[-1] == 1 else (shape,)
    same = any(all(part.shape[1:] == each for part in parts) for each in shapes)
    if not same or any(part.dtype.kind not in "biuf" for part in parts):
        return "sparse_categorical_crossentropy"
    zeros_and_ones = all(np.isin(part, (0, 1)).all() for part in parts)
    one_hot = shape[-1] > 1 and all((part.sum(axis=-1) == 1).all() for part in parts)
    if zeros_and_ones and one_hot:
        return "categorical_crossentropy"
    return "binary_crossentropy" if zeros_and_ones else "mean_squared_error"


def _classification(outputs: np.ndarray, data: Data) -> Task:
    """The task of a model with one output for each class."""
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
    probabilities = bool(outputs.min() >= 0 and np.allclose(sums, 1, atol=1e-2))
    return Task(
        dataclasses.replace(data, train=train, test=test),
        keras.losses.SparseCategoricalCrossentropy(from_logits=not probabilities),
        f"cross-entropy on {'probabilities' if probabilities else 'logits'}",
        "accuracy",
    )


def _of_shape(examples: Examples, outputs: np.ndarray, name: str) -> Examples:
    """The examples with labels of the outputs' shape, as numbers."""
    assert isinstance(examples.y, np.ndarray)
    shape = (examples.count, *outputs.shape[1:])
    column = shape[-1] == 1 and examples.y.shape == shape[:-1]
    if examples.y.dtype.kind not in "biuf" or examples.y.shape != shape and not column:
        raise ValueError(
            f"the labels of {name!r} must be numbers of shape {_of_n(shape[1:])}, as the model's "
            f"outputs are. Received: {examples.y.dtype} of shape {_of_n(examples.y.shape[1:])}."
        )
    return dataclasses.replace(examples, y=examples.y.reshape(shape).astype("float32"))


def _with_class_numbers(examples: Examples, outputs: np.ndarray, name: str) -> Examples:
    """The examples with labels of the outputs' shape, but for the axis of the classes."""
    labels = examples.y
    assert isinstance(labels, np.ndarray)
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


def _class_name(loss: str) -> str:
    """The class of a loss.

    Example:
        >>> _class_name("mean_squared_error"), _class_name("kl_divergence")
        ('MeanSquaredError', 'KLDivergence')
    """
    if loss == "kl_divergence":
        return "KLDivergence"
    return "".join(part.capitalize() for part in loss.split("_"))


def _said(loss: str) -> str:
    return loss.replace("_", " ").replace("crossentropy", "cross-entropy")


def _own_shape(model: keras.Model) -> str:
    """What the inputs of a model must be like; "" for a subclassed one."""
    shape = getattr(model, "input_shape", None)
    return "" if shape is None else f"a model for inputs of shape {shape}"


def _of_n(shape: tuple[int, ...]) -> str:
    """The shape of n of these."""
    return f"({', '.join(['n', *map(str, shape)])}{'' if shape else ','})"
