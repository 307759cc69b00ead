"""Random inputs for a model, from the shapes that its graph shows."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import keras
import numpy as np

from tfprune.keras_graph.calls import graph_of
from tfprune.keras_graph.private_keras import structures_of
from tfprune.support.tensors import Nest

Made = TypeVar("Made")

# Of the axes that the model leaves open, one after the other. Padding and strides show at lengths
# that are odd, what two axes have in common at different ones, and a part of an axis at short ones.
LENGTHS = ((8,), (9,), (11, 13, 17, 19, 23), (3,), *((2**power,) for power in range(4, 11)))
_RUNS = 4  # of the lengths at which a model runs


def random_inputs(
    model: keras.Model, size: int = 2, seed: int = 0, lengths: Sequence[int] = LENGTHS[0]
) -> Nest:
    """Return a batch in the nest that the model takes: normal numbers, integers 0 and 1.

    It has `size` examples, or as many as the model asks for. Text is the word 0 or 1. Axes that the
    model leaves open have `lengths`, in turns.

    Example:
        >>> random_inputs(keras.Sequential([keras.Input((None, 3)), keras.layers.Dense(2)])).shape
        (2, 8, 3)
    """
    draws = np.random.default_rng(seed)
    length = itertools.cycle(lengths)

    def draw(tensor: keras.KerasTensor) -> np.ndarray:
        number = size if tensor.shape[0] is None else tensor.shape[0]
        shape = (number, *(next(length) if given is None else given for given in tensor.shape[1:]))
        if keras.backend.is_float_dtype(tensor.dtype):
            return draws.normal(size=shape).astype(tensor.dtype)
        whole = draws.integers(0, 2, shape)
        return whole.astype(str if tensor.dtype == "string" else tensor.dtype)

    graph = graph_of(model)
    assert graph is not None
    tensors = [draw(tensor) for tensor in graph.inputs]
    return keras.tree.pack_sequence_as(structures_of(graph)[0], tensors)


def on_random_inputs(model: keras.Model, run: Callable[[Nest], Made]) -> Iterator[Made]:
    """Yield what is made of random batches, at several lengths where the model leaves one open.

    Lengths at which it fails are passed over, and those beyond the fourth at which it does not. If
    it fails at all of them, the last error is raised.

    Args:
        model: that has a graph.
        run: batch -> what is made of it.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> [batch.shape for batch in on_random_inputs(model, lambda batch: batch)]
        [(2, 3)]
    """
    graph = graph_of(model)
    assert graph is not None
    is_open = any(None in tensor.shape[1:] for tensor in graph.inputs)
    failure: Exception | None = None
    runs = 0
    for lengths in LENGTHS if is_open else LENGTHS[:1]:
        batch = random_inputs(model, lengths=lengths)
        try:
            made = run(batch)
        except Exception as error:  # whatever the backend raises of a length
            failure = error
            continue
        yield made
        runs += 1
        if runs == _RUNS:
            return
    if failure is not None and not runs:
        raise failure
