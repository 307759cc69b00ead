"""Comparing a .tflite file with the Keras model that it came from."""

import os
from collections.abc import Sequence

import keras
import numpy as np

from tfprune.export.convert.signature import Signature
from tfprune.export.run import runtime, wasm
from tfprune.layer_classes.prunable import flatten
from tfprune.support import quiet

_RANDOM_EXAMPLES = 8
_CHUNK = 32
_FREE_DIMENSION = 32  # the size given to dimensions other than the batch that the model leaves free

# A float32 sum taken in another order differs by a few units of 1.2e-7 times the square root of
# its length, 1e-5 at most for the layers in use; a wrong weight or index shows in the first
# digits. float16 rounds each weight by up to 5e-4, an int8 weight by 4e-3 of its channel's
# largest one, and int8 arithmetic rounds every activation to one of 255 values as well. Errors add
# up over layers and time steps, and a softmax multiplies them by its logits: on random images a
# pruned MobileNet was seen 2e-2 off in float16 and 4e-1 in int8. Garbage is off by its scale.
_INT8 = 7.5e-1
TOLERANCES = {None: 1e-4, "float16": 1e-1, "int8_weights": _INT8, "dynamic": _INT8, "int8": _INT8}

# Files with int8 arithmetic agree better with the converter's dense ones, run by LiteRT's own
# kernels; but sparse kernels round activations in another way than dense ones.
_ENCODING_TOLERANCE = 5e-2

# Below this an output counts as zero: its scale says nothing about the sums it came from.
_SMALLEST_SCALE = 1e-3


def random_inputs(model: keras.Model, signature: Signature) -> list[np.ndarray]:
    """Random examples: normal floats, and integers that every embedding of the model knows.

    Args:
        model: The model, whose `Embedding` layers bound the integers; without one they are 0 or 1.
        signature: Its signature.

    Returns:
        One array per input. The same model always gets the same examples.
    """
    rng = np.random.default_rng(0)
    bounds = [
        layer.input_dim for layer in flatten(model) if isinstance(layer, keras.layers.Embedding)
    ]
    count = -(-_RANDOM_EXAMPLES // signature.batch) * signature.batch
    arrays = []
    for entry in signature.inputs:
        shape = (count, *(size or _FREE_DIMENSION for size in entry.shape[1:]))
        if np.issubdtype(np.dtype(entry.dtype), np.floating):
            arrays.append(rng.standard_normal(shape).astype(entry.dtype))
        else:
            arrays.append(rng.integers(0, min(bounds, default=2), shape).astype(entry.dtype))
    return arrays


def predict(
    model: keras.Model, signature: Signature, inputs: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Keras's outputs for the examples, flattened to one array per output.

    They are computed on the CPU: an accelerator may multiply float32 in fewer bits.
    """
    step = _CHUNK if signature.free_batch else signature.batch
    parts = []
    with quiet.silenced(), keras.device("cpu:0"):
        for begin in range(0, len(inputs[0]), step):
            part = signature.nest(array[begin : begin + step] for array in inputs)
            outputs = keras.tree.flatten(model(part, training=False))
            parts.append([keras.ops.convert_to_numpy(output) for output in outputs])
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def compare(
    path: str | os.PathLike[str],
    signature: Signature,
    inputs: Sequence[np.ndarray],
    expected: Sequence[np.ndarray],
    *,
    tolerance: float,
    in_wasm: bool = False,
) -> float:
    """Runs a file with and without XNNPACK and compares every output with Keras's.

    It runs in a process of its own: a file that kills the runtime is an error like any other.

    Args:
        path: The .tflite file.
        signature: The model's signature.
        inputs: One array of examples per input.
        expected: One array of predictions per output.
        tolerance: Largest difference allowed, as a fraction of the output's largest magnitude.
        in_wasm: Whether to run it in WebAssembly too, which must be installed.

    Returns:
        The largest difference found, as that fraction.

    Raises:
        ValueError: If the file does not load or run, gives NaN, or differs.
    """
    largest = 0.0
    whole = len(inputs[0]) % signature.batch == 0
    found = runtime.outputs(path, inputs, batch=signature.batch if whole else 1)
    if in_wasm:
        found["WebAssembly"] = wasm.outputs(path, inputs, batch=signature.batch)
    for kernels, arrays in found.items():
        for index, (wanted, array) in enumerate(zip(expected, arrays, strict=True)):
            difference = _difference(array, wanted)
            if not difference <= tolerance:
                raise ValueError(
                    "`model` must predict the same in Keras and in the exported file: output "
                    f"{index} differs by {difference:.2e} of its scale with {kernels}, more than "
                    f"{tolerance:.0e}. No file was written."
                )
            largest = max(largest, difference)
    return largest


def require_equal(
    path: str | os.PathLike[str],
    other: str | os.PathLike[str],
    signature: Signature,
    inputs: Sequence[np.ndarray],
) -> None:
    """Compares a file with one that holds the same numbers densely, both on LiteRT's own kernels.

    Args:
        path: The file.
        other: The dense one.
        signature: The model's signature.
        inputs: One array of examples per input.

    Raises:
        ValueError: If one of them does not load or run, or they differ.
    """
    batch = signature.batch if len(inputs[0]) % signature.batch == 0 else 1
    kernels = runtime.KERNELS[1:]
    found, wanted = (
        runtime.outputs(name, inputs, batch=batch, kernels=kernels)[kernels[0]]
        for name in (path, other)
    )
    for index, (array, expected) in enumerate(zip(found, wanted, strict=True)):
        difference = _difference(array, expected)
        if not difference <= _ENCODING_TOLERANCE:
            raise ValueError(
                "The exported file must predict what the same numbers stored densely do: output "
                f"{index} differs by {difference:.2e} of its scale, more than "
                f"{_ENCODING_TOLERANCE:.0e}. No file was written."
            )


def _difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference over the largest magnitude; NaN or infinite where one side is."""
    if found.shape != wanted.shape:
        return float("inf")
    scale = max(float(np.max(np.abs(wanted), initial=0.0)), _SMALLEST_SCALE)
    with np.errstate(invalid="ignore"):  # equal infinities differ by nothing, others by NaN
        difference = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
    difference[found == wanted] = 0.0
    return float(np.max(difference, initial=0.0)) / scale
