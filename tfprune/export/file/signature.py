"""What a Keras model takes and gives: the shapes, types and names behind its .tflite signature."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from tfprune.support.tensors import Nest, Tensor

_CHECKED_BATCH = 2  # a file of any batch is checked with another batch than the one it loads with


@dataclasses.dataclass(frozen=True)
class Input:
    """One input of a model: its name, shape with the batch first (None is free), and dtype."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclasses.dataclass(frozen=True)
class Signature:
    """The inputs of a model.

    Attributes:
        inputs: The inputs, flattened.
        structure: The nesting in which the model takes them; the leaves carry no meaning.
        batch: The number of examples in one inference of the file, or in one that checks a file
            which takes any number.
        free_batch: Whether the Keras model takes any number.
        resizable: Whether the file does.
    """

    inputs: tuple[Input, ...]
    structure: Nest
    batch: int
    free_batch: bool
    resizable: bool = False

    def nest(self, arrays: Iterable[object]) -> Nest:
        """Puts one flat sequence of tensors into the nesting that the model takes."""
        return keras.tree.pack_sequence_as(self.structure, list(arrays))


def signature_of(
    model: keras.Model, *, batch_size: int | None = 1, example: Nest = None
) -> Signature:
    """The signature of a built model.

    Args:
        model: A built model. A subclassed one takes a single argument, the inputs.
        batch_size: The batch size where the model leaves it free; None leaves it free in the file.
        example: Inputs of a subclassed model, which remembers shapes but no dtypes. Without it
            they are floats.

    Returns:
        The signature.

    Raises:
        ValueError: If the model does not know its input shapes, or takes strings.
    """
    structure = _symbolic_inputs(model, example)
    tensors = keras.tree.flatten(structure)
    fixed = tensors[0].shape[0]
    batch = fixed or batch_size
    resizable = batch is None
    inputs = tuple(
        Input(
            name=tensor.name or f"input_{position}",
            shape=(batch, *tensor.shape[1:]),
            dtype=keras.backend.standardize_dtype(tensor.dtype),
        )
        for position, tensor in enumerate(tensors)
    )
    for entry in inputs:
        if entry.dtype == "string":
            raise ValueError(
                "`model` must take numbers, a .tflite file has no tables of words: export the part "
                "after the layers that turn text into numbers. Received: "
                f"model={model.name!r} with the input {entry.name!r} of dtype 'string'."
            )
    return Signature(
        inputs,
        structure,
        batch or _CHECKED_BATCH,
        free_batch=fixed is None,
        resizable=resizable,
    )


def arrays_for(signature: Signature, data: Nest, argument: str) -> list[np.ndarray]:
    """Checks data that a user gave for the model's inputs.

    Args:
        signature: The model's signature.
        data: Arrays in the structure of the model's inputs, the examples along the first axis.
        argument: The name of the user's argument, for messages.

    Returns:
        One array per input, in its dtype.

    Raises:
        ValueError: If the structure, a shape, a dtype or the number of examples does not fit.
    """
    arrays = [np.asarray(array) for array in keras.tree.flatten(data)]
    if len(arrays) != len(signature.inputs):
        raise ValueError(
            f"`{argument}` must hold one array per input of the model "
            f"({len(signature.inputs)}). Received: {len(arrays)} arrays."
        )
    batch = 1 if signature.resizable else signature.batch
    for array, wanted in zip(arrays, signature.inputs):
        fits = len(array.shape) == len(wanted.shape) and all(
            size in (None, given) for size, given in zip(wanted.shape[1:], array.shape[1:])
        )
        if not fits or not np.can_cast(array.dtype, wanted.dtype, "same_kind"):
            raise ValueError(
                f"`{argument}` must fit the input {wanted.name!r}: examples of shape "
                f"{wanted.shape[1:]} and dtype {wanted.dtype}. Received: an array of shape "
                f"{array.shape} and dtype {array.dtype}."
            )
        if len(array) != len(arrays[0]) or len(array) == 0 or len(array) % batch:
            raise ValueError(
                f"`{argument}` must hold equally many examples for every input, at least one and "
                f"a multiple of the batch size {batch}. Received: {[len(a) for a in arrays]}."
            )
    return [array.astype(wanted.dtype) for array, wanted in zip(arrays, signature.inputs)]


def _symbolic_inputs(model: keras.Model, example: Nest) -> Nest:
    """The model's inputs as anything with a shape and a dtype, in the model's own nesting."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0]
    if getattr(model, "inputs", None):
        return model.input
    if example is not None:
        return keras.tree.map_structure(_free_batch, example)
    config = model.get_build_config() or {}
    if config.get("input_shape") is None:
        raise ValueError(
            "`model` must know the shape of its one argument, the inputs: call it on data, or "
            f"pass `verify_inputs`. Received: model={model.name!r}, built with {config!r}."
        )
    return _specs(config["input_shape"], model.input_dtype)


def _free_batch(example: Tensor | np.ndarray) -> keras.KerasTensor:
    array = np.asarray(example)
    narrow = {"float64": "float32", "int64": "int32"}  # what Keras makes of NumPy's defaults
    return keras.KerasTensor(
        (None, *array.shape[1:]), narrow.get(array.dtype.name, array.dtype.name)
    )


def _specs(shape: Any, dtype: str) -> Any:
    """The recorded shapes of a subclassed model, nested as they are, with their dtype."""
    if isinstance(shape, dict):
        return {key: _specs(value, dtype) for key, value in shape.items()}
    if all(size is None or isinstance(size, int) for size in shape):
        return keras.KerasTensor((None, *shape[1:]), dtype)
    return type(shape)(_specs(value, dtype) for value in shape)
