"""Models without the softmax or sigmoid that their outputs come from."""

import contextlib
from collections.abc import Iterator

import keras

from tfprune.keras_graph.calls import graph_of, maker_of

_SQUASHING = {"softmax", "log_softmax", "sigmoid", "log_sigmoid", "hard_sigmoid", "sparsemax"}


@contextlib.contextmanager
def without_end_activations(model: keras.Model) -> Iterator[None]:
    """Have a model return logits inside the context: layers at its end lose their activation.

    What was compiled before keeps it. A subclassed model does not show its end, and stays.

    Args:
        model: built.

    Raises:
        ValueError: if it ends in a softmax that is a layer or an operation of its own.

    Example:
        >>> layer = keras.layers.Dense(2, "softmax", kernel_initializer="ones")
        >>> model = keras.Sequential([keras.Input((3,)), layer])
        >>> with without_end_activations(model):
        ...     keras.ops.convert_to_numpy(model(keras.ops.ones((1, 3)))).tolist()
        [[3.0, 3.0]]
    """
    graph = graph_of(model)
    ends = [maker_of(tensor).operation for tensor in graph.outputs] if graph is not None else []
    own = [end for end in dict.fromkeys(ends) if _activation_of(end) in _SQUASHING]
    alone = [end.name for end in ends if isinstance(end, keras.layers.Softmax)]
    if alone:
        raise ValueError(
            f"Model '{model.name}' must return logits, or have its softmax in a layer with an "
            f"`activation`. Received: the layer '{alone[0]}' at its end."
        )
    before = [end.activation for end in own]
    try:
        for end in own:
            end.activation = keras.activations.linear
        yield
    finally:
        for end, activation in zip(own, before):
            end.activation = activation


def _activation_of(operation: keras.Operation) -> str:
    return getattr(getattr(operation, "activation", None), "__name__", "")
