"""Reading and writing .tflite flatbuffers through LiteRT's own schema.

Everything else in `tfprune.export` works on the schema's object API (`ModelT`), so this is the
only module that knows bytes.
"""

import gzip
import os
import struct
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

FILE_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16

OPERATOR_NAMES: dict[int, str] = {
    code: name
    for name, code in vars(schema.BuiltinOperator).items()
    if not name.startswith("_")
}
TYPE_NAMES: dict[int, str] = {
    code: name.lower()
    for name, code in vars(schema.TensorType).items()
    if not name.startswith("_")
}
NUMPY_TYPES: dict[int, type[np.generic]] = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.FLOAT64: np.float64,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.UINT8: np.uint8,
    schema.TensorType.INT16: np.int16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.BOOL: np.bool_,
}

# What the generated parser raises when an offset or a length points outside the file.
_PARSE_ERRORS = (
    struct.error,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)


class _AlignedBuilder(flatbuffers.Builder):
    """A builder that aligns byte vectors, which hold the weights, as the runtime asks."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:
        if elemSize == 1:
            alignment = _ALIGNMENT
        return super().StartVector(elemSize, numElems, alignment)


def parse(content: bytes, name: str) -> Any:
    """Parses the bytes of a .tflite file.

    Args:
        content: The whole file.
        name: What error messages call it, usually its path.

    Returns:
        The `ModelT` of LiteRT's schema.

    Raises:
        ValueError: If `content` is empty, foreign or truncated.
    """
    if len(content) < 8 or content[4:8] != FILE_IDENTIFIER:
        found = f"{len(content)} bytes, beginning {content[:8]!r}" if content else "an empty file"
        raise ValueError(
            f"`path` must name a TFLite file (bytes 4 to 8 are {FILE_IDENTIFIER!r}). "
            f"Received: path={name!r} ({found})."
        )
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        _check(model)
    except _PARSE_ERRORS as error:
        raise ValueError(
            "`path` must name a whole TFLite file, this one is truncated or damaged. "
            f"Received: path={name!r} ({len(content)} bytes; {type(error).__name__}: {error})."
        ) from error
    return model


def read(path: str | os.PathLike[str]) -> tuple[Any, bytes]:
    """Reads a .tflite file.

    Args:
        path: The file.

    Returns:
        Its `ModelT` and its bytes.

    Raises:
        ValueError: If the file cannot be read, or is empty, foreign or truncated.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            content = file.read()
    except OSError as error:
        raise ValueError(
            f"`path` must name a readable TFLite file. Received: path={name!r} ({error.strerror})."
        ) from error
    return parse(content, name), content


def pack(model: Any) -> bytes:
    """Writes a `ModelT` as the bytes of a .tflite file, weights on 16-byte boundaries."""
    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    builder = _AlignedBuilder(size + (1 << 16))
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def gzip_size(content: bytes) -> int:
    """Bytes of the file as the gzip command compresses it by default.

    Level 9 takes ten times as long on files full of zeros and gains a few percent.
    """
    return len(gzip.compress(content, compresslevel=6, mtime=0))


def builtin_code(model: Any, operator: Any) -> int:
    """The `BuiltinOperator` value of an operator, from the wide or the old narrow field."""
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def shape(tensor: Any) -> tuple[int, ...]:
    """The shape of a tensor; () for a scalar."""
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def constant(model: Any, tensor: Any) -> np.ndarray | None:
    """The stored values of a tensor as a flat array, or None where nothing is stored.

    A sparse tensor stores its kept values only, zero elements of kept blocks included.
    """
    data = model.buffers[tensor.buffer].data
    if data is None or len(data) == 0 or tensor.type not in NUMPY_TYPES:
        return None
    return np.frombuffer(np.asarray(data, np.uint8).tobytes(), NUMPY_TYPES[tensor.type])


def add_buffer(model: Any, values: np.ndarray) -> int:
    """Appends the bytes of an array as a new buffer and returns its index."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def _check(model: Any) -> None:
    """Raises ValueError where an index of the parsed model points at nothing."""
    if not model.subgraphs or not model.buffers:
        raise ValueError("no subgraph or no buffer")
    codes = range(len(model.operatorCodes or ()))
    for graph in model.subgraphs:
        tensors = range(-1, len(graph.tensors or ()))  # -1 is an absent optional input
        if any(tensor.buffer not in range(len(model.buffers)) for tensor in graph.tensors or ()):
            raise ValueError("a tensor names a buffer that is not there")
        for operator in graph.operators or ():
            if operator.opcodeIndex not in codes:
                raise ValueError("an operator names a code that is not there")
            for index in _indices(operator.inputs) + _indices(operator.outputs):
                if index not in tensors:
                    raise ValueError("an operator names a tensor that is not there")


def _indices(vector: Any) -> list[int]:
    return [] if vector is None else [int(index) for index in vector]
