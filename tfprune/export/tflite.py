"""Exporting a Keras model to a verified .tflite file."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from tfprune.export.builder import Built, build
from tfprune.export.convert import converter, copies, requirements
from tfprune.export.encode import four_bits
from tfprune.export.encode.micro.shared_levels import with_shared_levels
from tfprune.export.file import flatbuffer, signature
from tfprune.export.report import ExportReport, theory_bytes
from tfprune.export.run import examples, micro, processes, verify, wasm
from tfprune.support.files import replacing
from tfprune.support.tensors import Nest
from tfprune.targets.target import (
    IN_INTEGERS_THROUGHOUT,
    INTEGER_ARITHMETIC,
    TARGETS,
    QuantizeName,
    TargetName,
    require_target,
)


def to_tflite(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    target: TargetName = "auto",
    quantize: QuantizeName | None = None,
    representative_data: Nest = None,
    lower_conv3x3: bool = False,
    unroll: bool = False,
    sparse: bool = True,
    batch_size: int | None = 1,
    verify_inputs: Nest = None,
    arena_bytes: int | None = None,
) -> ExportReport:
    """Writes a model as a .tflite file whose zeros cost no space and, where they can, no time.

    Weights are encoded and operators are rewritten, without changing what they compute, as it pays
    on the target. The file appears at `path` only after it was loaded with and without XNNPACK, in
    another process, and gave Keras's predictions; for "wasm" it is run in WebAssembly as well if
    Node and LiteRT.js are installed. Whatever goes wrong, an older file at `path` stays and
    nothing else is left behind.

    Args:
        model: A built, stripped model on the TensorFlow backend; or, for "int8", one trained with
            rounded activations, as it is.
        path: The file to write, in a directory that exists; ".tflite" is added to a name without
            an ending.
        target: Where it will run: "arm64" (also "phone", "android", "ios"), "wasm" ("browser"),
            "x86" ("desktop"), "auto" (any of them), or "size" for the fewest bytes whatever the
            speed, or "microcontroller" for tflite-micro, whose TFLM_DECODE expands weights:
            there, the file and its dense form were run and gave the same to the last bit.
        quantize: None for float32. "float16" and "int8_weights" store weights in fewer bits and
            compute in float32. "dynamic" stores int8 weights and multiplies in int8, "int8"
            computes in int8 throughout. "int4" does so with weights of 4 bits, 15 levels for each
            output channel, in FULLY_CONNECTED and CONV_2D.
        representative_data: For "int8", examples in the structure of the model's inputs, along the
            first axis; a few hundred are usual. None for a model of
            `tfprune.quantize_aware(model, activations=True)`, which has learned all ranges.
        lower_conv3x3: Whether to turn larger sparse convolutions, strided ones and max-pooling
            into 1x1 convolutions and shifts, which XNNPACK's sparse kernels can run, where that is
            expected to be faster. Slower where it has none, so for "arm64", "wasm" and "auto"
            only.
        unroll: Whether to unroll the time steps of recurrent layers, which must be fixed in number:
            no faster than loops where their weights run on sparse kernels, several times slower
            where they do not. "int8" always does, since the converter cannot calibrate loops.
        sparse: Whether to encode and rewrite anything; False writes what the converter gives.
        batch_size: Examples in one inference where the model leaves it free. None leaves it free
            in the file too, which recurrent models cannot.
        verify_inputs: Examples to compare on besides random ones, like `representative_data`.
        arena_bytes: For "microcontroller", the memory that firmware has for the interpreter; a
            file that asks for more is an error. None for any.

    Returns:
        Sizes, encodings, which layers run on sparse kernels, and the largest difference found;
        `print` shows a verdict and the ten largest layers, `.table()` all of them.

    Raises:
        TypeError: If `model` is no Keras model, `path` no path, a flag no bool or `batch_size` no
            integer.
        ValueError: If an argument does not fit, the path cannot be written, the model has an
            operation that TFLite has not, or the file does not predict what Keras does.

    Example:
        >>> import tempfile
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     to_tflite(model, f"{directory}/model.tflite").encodings
        ()
    """
    requirements.check_options(
        path=path,
        target=target,
        quantize=quantize,
        representative_data=representative_data,
        lower_conv3x3=lower_conv3x3,
        unroll=unroll,
        sparse=sparse,
        batch_size=batch_size,
        arena_bytes=arena_bytes,
    )
    aim = TARGETS[require_target(target)]
    path = _with_ending(os.fspath(path))
    requirements.check_model(model)
    ranged = requirements.check_ranges(
        model, quantize=quantize, representative_data=representative_data
    )
    batch_size = None if batch_size is None else int(batch_size)  # one of NumPy's is no JSON
    plain = copies.to_float32(copies.unmasked(model, keep_ranges=False) if ranged else model)
    signed = signature.signature_of(plain, batch_size=batch_size, example=verify_inputs)
    requirements.check_inputs(signed.inputs, aim.name)
    rounded = copies.to_float32(copies.unmasked(model, keep_ranges=True)) if ranged else plain
    unroll = unroll or quantize in IN_INTEGERS_THROUGHOUT
    converted = copies.unrolled(rounded, signed) if unroll else plain
    given = {"representative_data": representative_data, "verify_inputs": verify_inputs}
    arrays = {
        name: signature.arrays_for(signed, data, name)
        for name, data in given.items()
        if data is not None
    }
    in_wasm = aim.in_webassembly and wasm.is_installed()
    with replacing(path) as temporary, tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
        samples = examples.samples_of(rounded, signed, arrays)
        checked = [array.shape[1:] for array in samples[0].inputs]
        dense = stored = converter.convert(plain, signed, checked=checked)
        if converted is not plain or quantize in INTEGER_ARITHMETIC:
            stored = converter.convert(
                converted,
                signed,
                quantize=_arithmetic(quantize),
                representative=arrays.get("representative_data"),
                checked=checked,
            )
        in_four: tuple[str, ...] = ()
        if quantize == "int4":
            stored, in_four = four_bits.in_four_bits(stored)
        if aim.in_tflite_micro and sparse:
            kernels = {each.path: keras.ops.convert_to_numpy(each) for each in plain.weights}
            stored = with_shared_levels(stored, kernels)
        options: dict[str, Any] = {"target": aim, "sparse": sparse}
        built = build(stored, quantize=quantize, lower_conv3x3=lower_conv3x3, **options)
        beside = figures = None
        if quantize in INTEGER_ARITHMETIC or aim.in_tflite_micro:
            beside = _write(f"{folder}/dense.tflite", stored.content)
        elif quantize is not None:
            unrounded = build(stored, lower_conv3x3=lower_conv3x3, **options)
            beside = _write(f"{folder}/unrounded.tflite", unrounded.content)
        _write(temporary, built.content)
        with _run_errors(model):
            if aim.in_tflite_micro:
                _refuse_defects(built)
            largest = verify.check(
                beside if aim.in_tflite_micro and beside else temporary,
                signed,
                samples,
                quantize=quantize,
                beside=beside,
                in_wasm=in_wasm,
            )
            if aim.in_tflite_micro and beside:
                in_micro, figures = micro.check(
                    temporary,
                    beside,
                    samples,
                    batch=signed.batch,
                    quantize=quantize,
                    encodings=built.encodings,
                    arena_bytes=arena_bytes,
                )
                largest = max(largest, in_micro)
        float32 = None if quantize is None else len(build(dense, **options).content)
    return ExportReport(
        path=os.fspath(path),
        target=aim.name,
        quantize=quantize,
        bytes=len(built.content),
        gzip_bytes=flatbuffer.gzip_size(built.content),
        dense_bytes=len(dense.content),
        dense_gzip_bytes=flatbuffer.gzip_size(dense.content),
        theory_bytes=theory_bytes(built.encodings),
        encodings=built.encodings,
        coverage=built.coverage,
        rewrites=built.rewrites,
        largest_difference=largest,
        micro=figures,
        notes=(
            *built.notes,
            *_notes(
                copied=plain is not model and not ranged,
                sparse=sparse,
                built=built,
                quantize=quantize,
                wasm_missing=aim.in_webassembly and not in_wasm,
                float32=float32,
                in_micro=aim.in_tflite_micro,
                in_four_bits=in_four,
            ),
        ),
    )


def _arithmetic(quantize: str | None) -> str | None:
    """What the converter is asked for: weights of 4 bits are made of its 8."""
    if quantize not in INTEGER_ARITHMETIC:
        return None
    return "int8" if quantize == "int4" else quantize


def _with_ending(path: str) -> str:
    """Return the path, with ".tflite" where its name has no ending."""
    named = os.path.basename(path) and not os.path.isdir(path)
    return f"{path}.tflite" if named and not os.path.splitext(path)[1] else path


@contextlib.contextmanager
def _run_errors(model: keras.Model) -> Iterator[None]:
    """Says of the model, which the user knows, what is found out about its file."""
    try:
        yield
    except processes.RunError as error:
        raise ValueError(
            f"`model` must become a file that {error.runtime} can run. Received: "
            f"model={model.name!r} ({error.reason}). No file was written."
        ) from error


def _refuse_defects(built: Built) -> None:
    """Raises RunError for what tflite-micro lacks, before it is run."""
    if built.coverage.defects:
        reason = "; ".join(built.coverage.defects)
        raise processes.RunError("", micro.RUNTIME, reason)


def _write(path: str, content: bytes) -> str:
    with open(path, "wb") as file:
        file.write(content)
    return path


def _notes(
    *,
    copied: bool,
    sparse: bool,
    built: Built,
    quantize: str | None,
    wasm_missing: bool,
    float32: int | None,
    in_micro: bool,
    in_four_bits: Sequence[str],
) -> Iterator[str]:
    """What a user should know, one sentence each."""
    narrow = {"float16": "float16", "int8_weights": "int8"}.get(quantize or "")
    if in_four_bits:
        yield (
            f"{len(in_four_bits)} weights are stored in 4 bits, zeros among them: "
            f"{', '.join(in_four_bits)}. Others, and those of depthwise convolutions, have 8."
        )
    if sparse and narrow and not any(entry.dtype == narrow for entry in built.encodings):
        yield (
            f"No weight is stored as {narrow}: none is so large that it would save more than the "
            "operator that widens it takes."
        )
    if float32 is not None and len(built.content) > float32:
        zeros = "" if in_micro else "the zeros of integer weights mostly stay in the file, and "
        yield (
            f"The file is larger than without quantization, which takes {float32:,} bytes: {zeros}"
            "scales and unrolled time steps come on top."
        )
    if wasm_missing:
        yield "The file was not run in WebAssembly: Node or LiteRT.js is not installed."
    if copied:
        yield "The file computes in float32, the Keras model in mixed precision."
    if not sparse:
        yield "The weights are dense, as asked."
    elif not built.encodings:
        yield "The file is dense: no weight has enough zeros to become smaller by encoding."
    elif not (built.coverage.sparse_layers or in_micro):
        yield (
            "The file is smaller, not faster: no layer runs on a sparse kernel. See the reason "
            "given for each layer."
        )
