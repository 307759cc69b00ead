"""Comparing .tflite files with the Keras model they came from, and their kernels with each other.

A file is right if it predicts what Keras does, as far as its rounding allows, and if XNNPACK,
LiteRT's default, makes of it what LiteRT's own kernels make of it. The second comparison is of one
file with itself, so rounding is no excuse there: it finds what a runtime misreads.
"""

import dataclasses
import os
from collections.abc import Sequence

import keras
import numpy as np

from tfprune.export.file.signature import Signature
from tfprune.export.run import runtime, wasm
from tfprune.layer_classes.prunable import flatten
from tfprune.support import quiet
from tfprune.targets.target import INTEGER_ARITHMETIC

_RANDOM_EXAMPLES = 8
_CHUNK = 32
_SHOWN_CHARACTERS = 300
# The sizes tried for dimensions other than the batch that the model leaves free: the first one
# that it can be run at, since several windows in a row may need more than a few.
_FREE_SIZES = (32, 64, 128, 256, 512, 1024)

# A float32 sum taken in another order differs by a few units of 1.2e-7 times the square root of
# its length, 1e-5 at most for the layers in use; a wrong weight or index shows in the first
# digits. float16 rounds each weight by up to 5e-4, an int8 weight by 4e-3 of its channel's
# largest one, and int8 arithmetic rounds every activation to one of 255 values as well. Errors add
# up over layers and time steps, and a softmax multiplies them by its logits: on random images a
# pruned MobileNet was seen 2e-2 off in float16 and 4e-1 in int8. Garbage is off by its scale.
_INT8 = 7.5e-1
_INT4 = 1.5  # 15 levels a weight, which was not trained to them
TOLERANCES = {
    None: 1e-4,
    "float16": 1e-1,
    "int8_weights": _INT8,
    "dynamic": _INT8,
    "int8": _INT8,
    "int4": _INT4,
}

# Kernels of float32 arithmetic sum in another order, as above.
_SAME_FILE = 1e-3

# Kernels of int8 arithmetic break ties in another way: about one number in a thousand is off by
# one of 255 steps. That is the whole difference after one layer, but a recurrent layer carries it
# on: of forty LSTMs of up to 30 steps, the kernels differed by up to 1e-1 on the converter's dense
# file, and the sparse file from the dense one by as much. So what the dense file shows is allowed
# again.
_INTEGER_STEPS = 5e-2
_CARRIED_ON = 2.0

# Below this an output counts as zero: its scale says nothing about the sums it came from.
_SMALLEST_SCALE = 1e-3


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """Examples to run a file on.

    Attributes:
        kind: What messages call them.
        inputs: One array of examples per input.
        expected: Keras's predictions, one array per output.
        like_keras: Whether the file is compared with them: one that was calibrated on other
            examples may be far off.
    """

    kind: str
    inputs: Sequence[np.ndarray]
    expected: Sequence[np.ndarray]
    like_keras: bool = True


def random_inputs(
    model: keras.Model, signature: Signature, *, like: Sequence[np.ndarray] | None = None
) -> list[np.ndarray]:
    """Random examples: floats, half of them normal and half from 0 to 1, and known integers.

    Args:
        model: The model, whose `Embedding` layers bound the integers; without one they are 0 or 1.
        signature: Its signature.
        like: Examples whose sizes are taken where the model leaves them free; None for the
            smallest power of two from 32 to 1024 at which it runs.

    Returns:
        One array per input. The same model always gets the same examples.

    Raises:
        ValueError: If the model runs at none of the sizes.
    """
    if like is not None:
        return _random(model, signature, [array.shape[1:] for array in like])
    shapes = [entry.shape[1:] for entry in signature.inputs]
    ran, reason = None, ""
    for size in _FREE_SIZES:
        arrays = _random(model, signature, [tuple(each or size for each in s) for s in shapes])
        if not any(None in shape for shape in shapes):
            return arrays
        try:
            # TensorFlow itself computes garbage where a dilated window does not fit; Keras refuses.
            specs = [keras.KerasTensor(array.shape, array.dtype.name) for array in arrays]
            model.compute_output_spec(signature.nest(specs))
            outputs = predict(model, signature, [array[: signature.batch] for array in arrays])
        except Exception as error:  # Keras's layers raise many types
            reason = str(error).strip().split("\n", maxsplit=1)[0][:_SHOWN_CHARACTERS]
            continue
        # What is left of too few steps is empty, or NaN once it is averaged.
        if all(output.size and not np.isnan(output).any() for output in outputs):
            return arrays
        ran = ran or arrays
    if ran is None:
        raise ValueError(
            f"`verify_inputs` must be given: the model runs at none of the sizes {_FREE_SIZES} for "
            f"what it leaves free. Received: model={model.name!r}, inputs of shapes {shapes} "
            f"({reason})."
        )
    return ran


def _random(
    model: keras.Model, signature: Signature, shapes: Sequence[tuple[int, ...]]
) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    bounds = [
        layer.input_dim for layer in flatten(model) if isinstance(layer, keras.layers.Embedding)
    ]
    count = -(-_RANDOM_EXAMPLES // signature.batch) * signature.batch
    arrays = []
    for entry, sizes in zip(signature.inputs, shapes):
        shape = (count, *sizes)
        if np.issubdtype(np.dtype(entry.dtype), np.floating):
            values = rng.standard_normal(shape)
            values[count // 2 :] = rng.random(shape)[count // 2 :]
            arrays.append(values.astype(entry.dtype))
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


def check(
    path: str | os.PathLike[str],
    signature: Signature,
    samples: Sequence[Sample],
    *,
    quantize: str | None = None,
    beside: str | os.PathLike[str] | None = None,
    in_wasm: bool = False,
) -> float:
    """Runs a file with and without XNNPACK and compares every output.

    It runs in a process of its own: a file that kills the runtime is an error like any other.

    Args:
        path: The .tflite file.
        signature: The model's signature.
        samples: What to run it on, at least one of them to compare with Keras.
        quantize: How the file is quantized.
        beside: A file that holds the same without rounding, or for integer arithmetic the same
            numbers densely, so that rounding hides nothing; None for float32.
        in_wasm: Whether to run it in WebAssembly too, which must be installed.

    Returns:
        The largest difference to Keras, as a fraction of an output's largest magnitude.

    Raises:
        ValueError: If the file does not load or run, gives NaN, or differs.
    """
    files = [path] if beside is None else [path, beside]
    batches = [
        signature.batch if len(sample.inputs[0]) % signature.batch == 0 else 1 for sample in samples
    ]
    found = runtime.outputs_of(
        [
            runtime.Run(name, sample.inputs, batch)
            for name in files
            for sample, batch in zip(samples, batches)
        ]
    )
    largest = 0.0
    integers = quantize in INTEGER_ARITHMETIC
    for number, sample in enumerate(samples):
        outputs = found[number]
        if in_wasm:
            outputs["WebAssembly"] = wasm.outputs(path, sample.inputs, batch=batches[number])
        allowed = _SAME_FILE
        if integers:
            allowed = _INTEGER_STEPS
        if beside is not None:
            other = found[len(samples) + number]
            if integers:
                allowed += _CARRIED_ON * _disagreement(other)
                _require_equal(outputs, other, allowed)
            elif sample.like_keras:
                compare(other, sample, TOLERANCES[None])
        if sample.like_keras:
            largest = max(largest, compare(outputs, sample, TOLERANCES[quantize]))
        _require_agreement(outputs, allowed)
    return largest


Outputs = dict[str, list[np.ndarray]]  # kernels -> one array per output


def compare(outputs: Outputs, sample: Sample, tolerance: float) -> float:
    """The largest difference to Keras, which must not be larger than allowed.

    Args:
        outputs: Kernels -> one array per output.
        sample: The examples that they are for.
        tolerance: What is allowed, as a fraction of an output's largest magnitude.

    Raises:
        ValueError: If it is larger.
    """
    largest = 0.0
    for kernels, arrays in outputs.items():
        for index, (wanted, array) in enumerate(zip(sample.expected, arrays, strict=True)):
            difference = _difference(array, wanted)
            if not difference <= tolerance:
                raise ValueError(
                    "`model` must predict the same in Keras and in the exported file: output "
                    f"{index} differs by {difference:.2e} of its scale with {kernels}, more than "
                    f"{tolerance:.0e}. No file was written."
                )
            largest = max(largest, difference)
    return largest


def _require_agreement(outputs: Outputs, allowed: float) -> None:
    """Raises ValueError unless all kernels make the same of one file."""
    plain = outputs[runtime.KERNELS[-1]]
    for kernels, arrays in outputs.items():
        for index, (wanted, array) in enumerate(zip(plain, arrays, strict=True)):
            difference = _difference(array, wanted)
            if not difference <= allowed:
                raise ValueError(
                    "The exported file must give the same with all kernels: output "
                    f"{index} differs by {difference:.2e} of its scale between {kernels} and "
                    f"{runtime.KERNELS[-1]}, more than {allowed:.0e}. No file was written."
                )


def _require_equal(outputs: Outputs, dense: Outputs, allowed: float) -> None:
    """Raises ValueError unless a file predicts what the same numbers stored densely do."""
    kernels = runtime.KERNELS[-1]
    for index, (array, wanted) in enumerate(zip(outputs[kernels], dense[kernels], strict=True)):
        difference = _difference(array, wanted)
        if not difference <= allowed:
            raise ValueError(
                "The exported file must predict what the same numbers stored densely do: output "
                f"{index} differs by {difference:.2e} of its scale, more than {allowed:.0e}. "
                "No file was written."
            )


def _disagreement(outputs: Outputs) -> float:
    """The largest difference between kernels."""
    first, second = (outputs[kernels] for kernels in runtime.KERNELS)
    return max(map(_difference, first, second), default=0.0)


def _difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference over the largest magnitude; NaN or infinite where one side is."""
    if found.shape != wanted.shape:
        return float("inf")
    scale = max(float(np.max(np.abs(wanted), initial=0.0)), _SMALLEST_SCALE)
    with np.errstate(invalid="ignore"):  # equal infinities differ by nothing, others by NaN
        difference = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
    difference[found == wanted] = 0.0
    return float(np.max(difference, initial=0.0)) / scale
