"""From a Keras model to a dense .tflite file.

Every model goes through one concrete function with a fixed batch. `Model.export` would do for
feed-forward models, but its free batch adds shape arithmetic that keeps the delegate from taking
the whole graph, and recurrent models come out with operators that the plain runtime lacks. Where
the converter fails on a fixed batch, as it does on attention over single features, a free one is
converted and fixed afterwards. The converter is never given the model as its trackable object:
recurrent models then get NaN weights.
"""

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from tfprune.export.convert import names, outputs, sizes
from tfprune.export.file import flatbuffer, signature
from tfprune.support import quiet
from tfprune.support.tensors import Tensor

_SHOWN_CHARACTERS = 300


def convert(
    model: keras.Model,
    signed: signature.Signature,
    *,
    quantize: str | None = None,
    representative: Sequence[np.ndarray] | None = None,
    checked: Sequence[tuple[int, ...]] | None = None,
) -> flatbuffer.File:
    """Converts a model to a dense .tflite file.

    Args:
        model: A built model that computes in float32.
        signed: Its signature.
        quantize: None for float32; "dynamic" or "int8" for the converter's own quantization.
        representative: For "int8", one array of examples per input; activations are calibrated on
            them. None for a model with ranges of its own.
        checked: The shape of one example per input, which a file with free sizes loads with; None
            for whatever the converter writes.

    Returns:
        The file, with a signature that names the model's inputs and outputs.

    Raises:
        ValueError: If the model has an operation that TFLite has not, or for "int8" a loop.
    """
    paths: list[tuple[object, ...]] = []

    def call(*tensors: Tensor) -> list[Tensor]:
        import tensorflow as tf

        flat = keras.tree.flatten_with_path(model(signed.nest(tensors), training=False))
        paths[:] = [path for path, _ in flat]
        # An output that is an input, or comes twice, would lose its place in the file.
        return [tf.identity(tensor) for _, tensor in flat]

    examples = None
    if quantize == "int8" and representative is not None:
        examples = partial(_batches, representative, signed.batch)

    shapes = [entry.shape for entry in signed.inputs]
    with _conversion_errors(model), quiet.silenced():
        try:
            content = _content(call, signed, shapes, quantize, examples)
        except Exception as error:
            if not signed.free_batch or signed.resizable:
                raise
            free = [(None, *shape[1:]) for shape in shapes]
            try:
                content = _content(call, signed, free, quantize, examples)
            except Exception:
                raise error from None  # the batch was not the reason
    converted = flatbuffer.parse(content, "the converted model")
    names.rename(converted, model)
    sizes.settle(converted, signed, checked)
    outputs.settle(converted)
    found = outputs.output_names(model, paths)
    outputs.sign(converted, [entry.name for entry in signed.inputs], found)
    return flatbuffer.File(converted, flatbuffer.pack(converted))


def _content(
    call: Callable[..., Any],
    signed: signature.Signature,
    shapes: Sequence[tuple[int | None, ...]],
    quantize: str | None,
    examples: Callable[[], Iterator[list[np.ndarray]]] | None,
) -> bytes:
    """What the converter makes of a function of inputs of these shapes."""
    import tensorflow as tf  # here: reading and timing files must not wait for TensorFlow

    specs = [
        tf.TensorSpec(shape, entry.dtype, name=f"input_{position}")
        for position, (shape, entry) in enumerate(zip(shapes, signed.inputs))
    ]
    with tf.device("CPU:0"):
        function = tf.function(call).get_concrete_function(*specs)
        if quantize == "int8":
            _require_no_loop(function.graph)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        if quantize is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if examples is not None:
            converter.representative_dataset = examples
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
                tf.lite.OpsSet.TFLITE_BUILTINS,  # what has no int8 kernel stays float32
            ]
        with warnings.catch_warnings():
            # Inputs stay float32, so there are no statistics of quantized ones to give.
            warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
            content: bytes = converter.convert()
    return content


def _require_no_loop(graph: Any) -> None:
    """Refuses a graph whose calibration would abort the process."""
    loops = [op.name for op in graph.get_operations() if op.type in ("While", "StatelessWhile")]
    if loops:
        raise NotImplementedError(f"the converter cannot calibrate the loop {loops[0]!r}")


def _batches(arrays: Sequence[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    for begin in range(0, len(arrays[0]), size):
        yield [array[begin : begin + size] for array in arrays]


@contextlib.contextmanager
def _conversion_errors(model: keras.Model) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the converter raises many types, all about this model
        raise ValueError(
            "`model` must be one that TensorFlow's converter to TFLite takes. Received: "
            f"model={model.name!r} ({_said(str(error)) or type(error).__name__})."
        ) from error


def _said(text: str) -> str:
    """What a message says, without the lines of source that the converter puts around it."""
    found = re.search(r"error: (.+)", text)
    line = found[1] if found else text.strip().split("\n", maxsplit=1)[0]
    return " ".join(line.split()).rstrip(".")[:_SHOWN_CHARACTERS]
