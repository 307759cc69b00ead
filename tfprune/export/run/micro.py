"""Running .tflite files in tflite-micro, the runtime of microcontrollers, each in a process.

The `tflite-micro` package has the stock interpreter with its reference kernels, which compute the
same on every machine. How much memory a file needs, the interpreter says: its arena holds the
activations, the weights that are expanded for one operator, and what it knows of every tensor and
operator. Pointers take eight bytes here and four on a microcontroller, so there it is smaller.
"""

import dataclasses
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence

import numpy as np

from tfprune.export.encode.sparse import EncodedTensor
from tfprune.export.file import flatbuffer
from tfprune.export.file.micro_decoding import is_decoder
from tfprune.export.file.subgraph import subgraphs
from tfprune.export.file.tables import Model
from tfprune.export.predict.micro import refused
from tfprune.export.run import micro_child, processes, verify
from tfprune.export.run.child import Json

RUNTIME = "tflite-micro"
INSTALL = "python -m pip install tflite-micro"

_TENSOR_BYTES = 1 << 10  # more than the interpreter keeps of a tensor or an operator
_ARENA_BYTES = 1 << 20
_TURNS = 9


@dataclasses.dataclass(frozen=True)
class MicroFigures:
    """What a file asks of a microcontroller.

    Attributes:
        arena_bytes: Memory that the interpreter takes, pointers of eight bytes included.
        dense_arena_bytes: The same for the dense file.
        decoders: The operators that expand weights.
        expanded: The weights that they expand in one inference, together.
        weights: How many weights are stored encoded.
        encoded_bytes: Bytes of flash for these, tables and headers included.
        slowdown: Time of an inference / that of the dense file, on this machine and with the
            reference kernels: the median of a few turns. A microcontroller has other kernels.
    """

    arena_bytes: int
    dense_arena_bytes: int
    decoders: int
    expanded: int
    weights: int
    encoded_bytes: int
    slowdown: float

    @property
    def bits_per_weight(self) -> float:
        """Bits of flash for each encoded weight; 0 if there is none."""
        return 8 * self.encoded_bytes / max(1, self.weights)

    def verdict_lines(self) -> list[tuple[str, str]]:
        """What is worth a line in a report, each a word and what there is to say about it."""
        memory = f"{self.arena_bytes:,} bytes of arena ({self.dense_arena_bytes:,} for the dense"
        lines = [("memory", f"{memory} file), as {RUNTIME} counts with 64-bit pointers")]
        if self.weights:
            flash = f"{self.bits_per_weight:.2f} bits a weight with all tables"
            cost = f"{self.decoders} operators expand {self.expanded:,} weights an inference"
            lines.append(("encoding", f"{flash}; {cost}"))
            lines.append(
                ("speed", f"{self.slowdown:.2f} times the dense file's time on this PC, to decode")
            )
        return lines


def is_installed() -> bool:
    """Whether the `tflite-micro` package is there."""
    return micro_child.extension() is not None


def require_installed() -> None:
    """Raises ValueError, which says how to get it, unless tflite-micro is installed."""
    if not is_installed():
        raise ValueError(
            "`target` must have a runtime that files can be checked in: tflite-micro is not "
            f"installed, get it by `{INSTALL}`. Received: target='microcontroller'."
        )


def outputs_of(
    paths: Sequence[str | os.PathLike[str]],
    samples: Sequence[Sequence[np.ndarray]],
    *,
    batch: int,
    turns: int = 0,
) -> tuple[list[list[list[np.ndarray]]], Json]:
    """Runs files on the same sets of examples, in one process.

    Args:
        paths: The .tflite files.
        samples: For each set one array per input in the files' order, with the dtype of the input.
        batch: Examples per inference, along the first axis.
        turns: How often the files are timed in turns.

    Returns:
        For each set and file one array per output; and for each file the bytes of its arena,
        "arenas", and the seconds of an inference in each turn, "seconds".

    Raises:
        processes.RunError: If a file cannot be loaded or run, or kills or stops the runtime.
    """
    arrays: dict[str, np.ndarray] = {}
    asked = []
    files = [{"path": os.fspath(path), "batch": batch, "arena": _room(path)} for path in paths]
    for number, inputs in enumerate(samples):
        named = {f"{number:03}-{place:03}": array for place, array in enumerate(inputs)}
        arrays |= named
        asked += [{**file, "inputs": list(named)} for file in files]
    request: Json = {"runs": asked, "paths": [each["path"] for each in asked]}
    request |= {"files": len(paths), "turns": turns}
    command = [sys.executable, "-P", micro_child.__file__]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
        np.savez(os.path.join(folder, "inputs.npz"), **arrays)  # type: ignore[arg-type]
        answer = processes.converse(
            command, request, folder, runtime=RUNTIME, environment=environment
        )
        with np.load(os.path.join(folder, "outputs.npz"), allow_pickle=False) as file:
            found = [
                [file[name] for name in file.files if name.startswith(f"{number:03}-")]
                for number in range(len(asked))
            ]
    sets = [found[at : at + len(paths)] for at in range(0, len(found), len(paths))]
    return sets, answer


def check(
    path: str | os.PathLike[str],
    dense: str | os.PathLike[str],
    samples: Sequence[verify.Sample],
    *,
    batch: int,
    quantize: str | None = None,
    encodings: Sequence[EncodedTensor] = (),
    arena_bytes: int | None = None,
) -> tuple[float, MicroFigures]:
    """Runs a file and the dense one that it came from in tflite-micro, and compares every output.

    Args:
        path: The .tflite file.
        dense: The same numbers stored densely.
        samples: What to run it on, at least one of them to compare with Keras.
        batch: Examples per inference.
        quantize: How the files are quantized.
        encodings: What is stored encoded.
        arena_bytes: The largest arena that the file may ask for; None for any.

    Returns:
        The largest difference to Keras, as a fraction of an output's largest magnitude, and what
        the file asks of a microcontroller.

    Raises:
        ValueError: If a file does not load or run, differs from Keras, or asks for a larger
            arena, or the two differ in a bit.
    """
    largest = 0.0
    whole = [_whole_batches(sample, batch) for sample in samples]
    try:
        outputs, answer = outputs_of(
            [path, dense], [each.inputs for each in whole], batch=batch, turns=_TURNS
        )
    except processes.RunError as error:
        before, after = flatbuffer.read(dense).model, flatbuffer.read(path).model
        reason = refused(before, after, error.reason)
        raise processes.RunError(os.fspath(path), RUNTIME, reason) from error
    needed, in_dense = answer["arenas"]
    if arena_bytes is not None and needed > arena_bytes:
        raise ValueError(
            f"`arena_bytes` must be at least {needed:,} for this file, as {RUNTIME} counts with "
            f"64-bit pointers ({in_dense:,} for the dense one): use smaller layers or inputs, or "
            f"leave the largest layers dense. Received: arena_bytes={arena_bytes:,}. No file was "
            "written."
        )
    for sample, (found, wanted) in zip(whole, outputs, strict=True):
        for index, (array, other) in enumerate(zip(found, wanted, strict=True)):
            if array.tobytes() != other.tobytes():
                raise ValueError(
                    "The exported file must predict what the same numbers stored densely do, to "
                    f"the last bit: output {index} differs in {RUNTIME}. No file was written."
                )
        if sample.like_keras:
            tolerance = verify.TOLERANCES[quantize]
            largest = max(largest, verify.compare({RUNTIME: found}, sample, tolerance))
    decoders, expanded = expansions(flatbuffer.read(path).model)
    return largest, MicroFigures(
        arena_bytes=needed,
        dense_arena_bytes=in_dense,
        decoders=decoders,
        expanded=expanded,
        weights=sum(int(np.prod(each.shape)) for each in encodings),
        encoded_bytes=sum(each.encoded_bytes for each in encodings),
        slowdown=statistics.median(mine / other for mine, other in zip(*answer["seconds"])),
    )


def _whole_batches(sample: verify.Sample, batch: int) -> verify.Sample:
    """A sample without the examples that fill no batch."""
    count = len(sample.inputs[0]) // batch * batch
    inputs, expected = (
        [array[:count] for array in arrays] for arrays in (sample.inputs, sample.expected)
    )
    return dataclasses.replace(sample, inputs=inputs, expected=expected)


def _room(path: str | os.PathLike[str]) -> int:
    """Bytes that are more than enough for a file's arena: as if all tensors lived at once."""
    model, _ = flatbuffer.read(path)
    total = _ARENA_BYTES
    for subgraph in subgraphs(model):
        total += _TENSOR_BYTES * (len(subgraph.table.tensors) + len(subgraph.operators))
        for index, tensor in enumerate(subgraph.table.tensors):
            kind = flatbuffer.NUMPY_TYPES.get(tensor.type, np.int64)
            size = int(np.prod(np.maximum(subgraph.shape(index), 1), dtype=np.int64))
            total += 2 * size * np.dtype(kind).itemsize
    return total


def expansions(model: Model) -> tuple[int, int]:
    """The operators of a file that expand weights, and the weights that they expand together."""
    found = [
        (subgraph, operator)
        for subgraph in subgraphs(model)
        for operator in subgraph.operators
        if is_decoder(subgraph, operator)
    ]
    sizes = [
        int(np.prod(subgraph.shape(int(index)), dtype=np.int64))
        for subgraph, operator in found
        for index in operator.outputs
    ]
    return len(found), sum(sizes)
