"""What becomes of one network on every target: is it right, and what of it runs sparsely?"""

import dataclasses
import re
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from scripts.bench.export_cases import sparse
from tfprune.export.builder import Built, build
from tfprune.export.convert import converter, copies
from tfprune.export.file.flatbuffer import File
from tfprune.export.file.signature import Signature, signature_of
from tfprune.export.run import runtime, verify, wasm
from tfprune.targets.target import TARGETS

SPARSITY = 0.9
_EXAMPLES = 4
_CALIBRATION = 8
_QUOTED = re.compile(r"[A-Z_0-9]+ '[^']*'|'[^']*'")


@dataclasses.dataclass(frozen=True)
class Column:
    """A target, and how weights are stored for it."""

    name: str
    target: str
    quantize: str | None = None


# "auto" and "arm64" give the same file.
COLUMNS = (
    Column("auto", "auto"),
    Column("wasm", "wasm"),
    Column("x86", "x86"),
    Column("x86_int8", "x86", "int8"),
)
_TIMED = "wasm"


def measure(model: keras.Model, runs: int) -> dict[str, Any]:
    """Return name of a column -> what was found.

    Args:
        model: a network with random weights.
        runs: timed turns of the dense and the sparse file in WebAssembly.
    """
    floats = pruned(model, None)
    signed = signature_of(floats)
    inputs = [array[:_EXAMPLES] for array in verify.random_inputs(floats, signed)]
    dense = converter.convert(floats, signed)
    built = {"dense": dense.content}
    found = {}
    for column in COLUMNS:
        source = dense if column.quantize is None else _integers(model)
        made = _best(source, column)
        built[column.name] = made.content
        if column.quantize is not None:
            built[f"{column.name}_dense"] = source.content
        found[column.name] = _described(made, source, column)
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: f"{folder}/{name}.tflite" for name in built}
        for name, content in built.items():
            Path(paths[name]).write_bytes(content)
        outputs = runtime.outputs_of([runtime.Run(p, inputs, signed.batch) for p in paths.values()])
        results = dict(zip(paths, outputs))
        for column in COLUMNS:
            beside = "dense" if column.quantize is None else f"{column.name}_dense"
            others = list(results[column.name].values())
            if column.name == _TIMED:
                others.append(wasm.outputs(paths[_TIMED], inputs, batch=signed.batch))
            found[column.name]["difference"] = _difference(
                next(iter(results[beside].values())), others
            )
        if found[_TIMED]["sparse_layers"]:
            wall, _ = wasm.bench([paths["dense"], paths[_TIMED]], runs=runs, warmup=5)
            found[_TIMED]["dense_ms"] = 1e3 * float(np.median(wall[0]))
            found[_TIMED]["speed_up"] = float(np.median(wall[0] / wall[1]))
    return found


def pruned(model: keras.Model, quantize: str | None) -> keras.Model:
    """The model without the smallest nine tenths of what each weight of it may lose."""
    made = sparse(model, SPARSITY, "x86", quantize)  # of all targets alike
    rng = np.random.default_rng(0)
    for weight in made.weights:  # no bias or statistic that hides an error
        if len(weight.shape) == 1 and weight.dtype == "float32":
            values = 0.2 * rng.standard_normal(weight.shape)
            weight.assign(1 + np.abs(values) if "variance" in weight.path else weight + values)
    return made


def _integers(model: keras.Model) -> File:
    """The converter's int8 file of the model, recurrent layers unrolled."""
    sparse_model = pruned(model, "int8")
    signed: Signature = signature_of(sparse_model)
    examples = [a[:_CALIBRATION] for a in verify.random_inputs(sparse_model, signed)]
    unrolled = copies.unrolled(sparse_model, signed)
    return converter.convert(unrolled, signed, quantize="int8", representative=examples)


def _best(source: File, column: Column) -> Built:
    """The file with the larger share on sparse kernels, lowered or not."""
    target = TARGETS[column.target]
    files = [build(source, target=target, quantize=column.quantize)]
    if target.sparse_convolutions:
        files.append(build(source, target=target, lower_conv3x3=True))
    return max(files, key=lambda made: made.coverage.sparse_share)


def _described(made: Built, source: File, column: Column) -> dict[str, Any]:
    found = made.coverage
    plain = build(source, target=TARGETS[column.target], sparse=False).coverage
    reasons: dict[str, int] = {}
    for reason, count in found.blockers.items():
        short = _QUOTED.sub(lambda text: text[0].split(" '")[0], reason)
        reasons[short] = reasons.get(short, 0) + count
    return {
        "bytes": len(made.content),
        "dense_bytes": len(source.content),
        "layers": len(found.layers),
        "sparse_layers": found.sparse_layers,
        "sparse_share": found.sparse_share,
        "multiply_adds": found.multiply_adds,
        "dense_multiply_adds": plain.multiply_adds,
        "reasons": reasons,
        "rewrites": [*made.rewrites, *made.notes],
    }


def _difference(wanted: list[np.ndarray], others: list[list[np.ndarray]]) -> float:
    """The largest difference to the dense file, as a fraction of an output's scale."""
    return max(
        float(np.max(np.abs(found - expected)) / max(1e-3, float(np.max(np.abs(expected)))))
        for outputs in others
        for found, expected in zip(outputs, wanted, strict=True)
    )
