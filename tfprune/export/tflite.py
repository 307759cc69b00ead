"""Exporting a Keras model to a verified .tflite file."""

import os
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from tfprune.arrays import host_array
from tfprune.export import convert, flatbuffer, signature, verify
from tfprune.export.report import ExportReport, theory_bytes
from tfprune.export.sparse import EncodedTensor, encode_weights
from tfprune.files import replacing
from tfprune.prunable import flatten
from tfprune.validation import require_one_of
from tfprune.wrapper import pruned_layers


def to_tflite(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    quantize: str | None = None,
    representative_data: Any = None,
    sparse: bool = True,
    verify_inputs: Any = None,
) -> ExportReport:
    """Writes a model as a .tflite file whose zeros take no space, and checks it against Keras.

    The file takes one example at a time (or the batch that the model fixes). It appears at `path`
    only after it was loaded with and without XNNPACK and gave Keras's predictions; whatever goes
    wrong, an older file at `path` stays and nothing else is left behind.

    Args:
        model: A built, stripped model on the TensorFlow backend.
        path: The file to write, in a directory that exists.
        quantize: None for float32 weights; "float16" or "dynamic" (int8 weights, float32
            arithmetic) for the converter's own dense quantization.
        representative_data: Examples that calibrate activations; none of the above needs them.
        sparse: Whether to encode the float32 weights that become smaller by it.
        verify_inputs: Examples to compare on besides random ones, in the structure of the
            model's inputs, along the first axis.

    Returns:
        Sizes, encodings and the largest difference found; `print` shows them as a table.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If an argument does not fit, the path cannot be written, the model has an
            operation that TFLite has not, or the file does not predict what Keras does.

    Example:
        >>> import tempfile
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     to_tflite(model, f"{directory}/model.tflite").encodings
        ()
    """
    _check_quantize(quantize, representative_data)
    _check_model(model)
    plain = convert.to_float32(model)
    signed = signature.signature_of(plain, example=verify_inputs)
    samples = {"random inputs": verify.random_inputs(plain, signed)}
    if verify_inputs is not None:
        given = signature.arrays_for(signed, verify_inputs, "verify_inputs")
        samples["`verify_inputs`"] = given
    with replacing(path) as temporary:
        cases = _predicted(plain, signed, samples)
        dense = convert.convert(plain, signed, quantize=quantize)
        encode = sparse and quantize is None
        content, encodings = encode_weights(dense) if encode else (dense, ())
        with open(temporary, "wb") as file:
            file.write(content)
        tolerance = verify.TOLERANCES[quantize]
        largest = max(
            verify.compare(temporary, signed, inputs, outputs, tolerance=tolerance)
            for inputs, outputs in cases
        )
    return ExportReport(
        path=os.fspath(path),
        bytes=len(content),
        gzip_bytes=flatbuffer.gzip_size(content),
        dense_bytes=len(dense),
        dense_gzip_bytes=flatbuffer.gzip_size(dense),
        theory_bytes=theory_bytes(encodings),
        encodings=encodings,
        largest_difference=largest,
        notes=tuple(_notes(plain is not model, quantize, sparse, encodings)),
    )


def _check_quantize(quantize: str | None, representative_data: Any) -> None:
    require_one_of("quantize", quantize, (*verify.TOLERANCES, "int8"))
    if quantize != "int8":
        return
    if representative_data is None:
        raise ValueError(
            "`representative_data` must be given with `quantize='int8'`: activations are "
            "calibrated on it. Received: representative_data=None."
        )
    raise ValueError(
        "`quantize` must be None, 'float16' or 'dynamic' in this version: the converter's int8 "
        "calibration aborts the process on recurrent models. Received: quantize='int8'."
    )


def _check_model(model: keras.Model) -> None:
    """Refuses, by name, what would fail later or be exported wrongly."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: {type(model).__name__}.")
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "`model` must be on the TensorFlow backend: save it, set KERAS_BACKEND=tensorflow and "
            f"load it. Received: the backend {keras.backend.backend()!r}."
        )
    if not model.built:
        raise ValueError(
            "`model` must be built: call it on data or give it an Input. "
            f"Received: model={model.name!r}, which has no weights."
        )
    pruned = [layer.name for layer in pruned_layers(model)]
    if pruned:
        raise ValueError(
            "`model` must be stripped: pass `tfprune.strip_pruning(model)`. "
            f"Received: model={model.name!r} with pruned layers {pruned}."
        )
    stateful = [layer.name for layer in flatten(model) if getattr(layer, "stateful", False)]
    if stateful:
        raise ValueError(
            "`model` must be stateless, a TFLite file keeps no state between runs: build the "
            f"layers with stateful=False. Received: stateful layers {stateful}."
        )
    for weight in model.weights:
        values = host_array(weight.value)
        if np.issubdtype(values.dtype, np.floating) and np.isnan(values).any():
            raise ValueError(
                f"`model` must hold no NaN. Received: NaN in the weight {weight.path!r}, "
                f"shape {values.shape}."
            )


def _predicted(
    model: keras.Model, signed: signature.Signature, samples: dict[str, list[np.ndarray]]
) -> list[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Pairs examples with Keras's predictions, which must be numbers.

    Random inputs may lie outside a model's domain; they are dropped if the user gave some.
    """
    cases = []
    for kind, inputs in samples.items():
        outputs = verify.predict(model, signed, inputs)
        if not any(np.isnan(output).any() for output in outputs):
            cases.append((inputs, outputs))
        elif kind != "random inputs" or len(samples) == 1:
            raise ValueError(
                "`model` must predict numbers; if random inputs are outside its domain, pass "
                f"`verify_inputs`. Received: model={model.name!r}, which gives NaN for {kind}."
            )
    return cases


def _notes(
    copied: bool, quantize: str | None, sparse: bool, encodings: tuple[EncodedTensor, ...]
) -> Iterator[str]:
    if copied:
        yield "The file computes in float32, the Keras model in mixed precision."
    if quantize is not None:
        yield f"The weights are dense: {quantize!r} goes through the converter's own quantization."
    elif not sparse:
        yield "The weights are dense, as asked."
    elif not encodings:
        yield "The file is dense: no weight has enough zeros to become smaller by encoding."
    elif not any(entry.encoding.startswith("native") for entry in encodings):
        yield (
            "The file is smaller, not faster: no weight has a structure and sparsity at which a "
            "sparse kernel beats the dense one."
        )
