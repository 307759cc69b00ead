"""What of a teacher is compared with a student, and how: logits, outputs, attention maps."""

from typing import Any

import keras
from keras import ops

from tfprune.keras_graph.calls import graph_of
from tfprune.keras_graph.private_keras import maker_of


def ends_of(model: keras.Model) -> list[str]:
    """Return "softmax", "sigmoid" or "" for each output: what it went through at the end."""
    return [_end_of(tensor) for tensor in getattr(model, "outputs", None) or [None]]


def _end_of(tensor: Any) -> str:
    maker = None if tensor is None else maker_of(tensor)
    graph = graph_of(maker)
    if graph is not None:  # a nested model
        return _end_of(graph.outputs[0]) if len(graph.outputs) == 1 else ""
    activation = getattr(getattr(maker, "activation", None), "__name__", "")
    name = activation or type(maker).__name__.lower()
    return name if name in ("softmax", "sigmoid") else ""


def logits_of(values: Any, end: str) -> Any:
    """Return logits: the logarithm of probabilities, or the values themselves."""
    if not end:
        return values
    values = ops.cast(values, "float32")
    tiny = keras.config.epsilon()
    if end == "softmax":
        return ops.log(ops.maximum(values, tiny))
    clipped = ops.clip(values, tiny, 1.0 - tiny)
    return ops.log(clipped) - ops.log(1.0 - clipped)


def is_regression(loss: Any) -> bool:
    names = [
        loss if isinstance(loss, str) else getattr(loss, "name", getattr(loss, "__name__", ""))
        for loss in keras.tree.flatten(loss)
    ]
    words = ("mean_", "mse", "mae", "mape", "msle", "huber", "log_cosh", "logcosh", "cosine")
    return bool(names) and all(str(name).lower().startswith(words) for name in names)


def mean_square(first: Any, second: Any) -> Any:
    difference = ops.cast(first, "float32") - ops.cast(second, "float32")
    return ops.mean(ops.square(difference), axis=-1)


def attention_map(values: Any) -> Any:
    """Return the attention map of every example, flat and of length 1."""
    squares = ops.sum(ops.square(ops.cast(values, "float32")), axis=-1)
    flat = ops.reshape(squares, (ops.shape(squares)[0], -1))
    return flat / (ops.norm(flat, axis=-1, keepdims=True) + keras.config.epsilon())


def weights_of(sample_weight: Any, count: int) -> list[Any]:
    """Return the weights of examples for each of `count` outputs; None where there are none."""
    flat = [None] if sample_weight is None else keras.tree.flatten(sample_weight)
    return flat if len(flat) == count else [flat[0]] * count


def weighted_mean(each: Any, weight: Any) -> Any:
    """Return the mean of what is given for each example, weighted as Keras weighs losses."""
    each = ops.mean(ops.reshape(each, (ops.shape(each)[0], -1)), axis=-1)
    if weight is not None:
        weight = ops.cast(weight, each.dtype)
        each = each * ops.mean(ops.reshape(weight, (ops.shape(each)[0], -1)), axis=-1)
    return ops.mean(each)
