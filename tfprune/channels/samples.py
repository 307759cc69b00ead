"""Random inputs for a model, from the shapes that its graph shows."""

import keras
import numpy as np

from tfprune.keras_graph.calls import graph_of
from tfprune.keras_graph.private_keras import structures_of
from tfprune.support.tensors import Nest

LENGTHS = (8, 16, 32, 64, 128, 256, 512, 1024)  # where the model leaves one open


def random_inputs(
    model: keras.Model, size: int = 2, seed: int = 0, length: int = LENGTHS[0]
) -> Nest:
    """Return a batch in the nest that the model takes: normal numbers, integers 0 and 1.

    It has `size` examples, or as many as the model asks for. Text is the word 0 or 1. Lengths that
    the model leaves open are `length`.

    Example:
        >>> random_inputs(keras.Sequential([keras.Input((None, 3)), keras.layers.Dense(2)])).shape
        (2, 8, 3)
    """
    draws = np.random.default_rng(seed)

    def draw(tensor: keras.KerasTensor) -> np.ndarray:
        number = size if tensor.shape[0] is None else tensor.shape[0]
        shape = (number, *(length if given is None else given for given in tensor.shape[1:]))
        if keras.backend.is_float_dtype(tensor.dtype):
            return draws.normal(size=shape).astype(tensor.dtype)
        whole = draws.integers(0, 2, shape)
        return whole.astype(str if tensor.dtype == "string" else tensor.dtype)

    graph = graph_of(model)
    assert graph is not None
    tensors = [draw(tensor) for tensor in graph.inputs]
    return keras.tree.pack_sequence_as(structures_of(graph)[0], tensors)


def lengths_to_try(model: keras.Model) -> tuple[int, ...]:
    """Return lengths for the axes that a model leaves open, rising; one if it leaves none.

    Example:
        >>> lengths_to_try(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
        (8,)
    """
    graph = graph_of(model)
    assert graph is not None
    is_open = any(None in tensor.shape[1:] for tensor in graph.inputs)
    return LENGTHS if is_open else LENGTHS[:1]
