"""Reading and writing .tflite flatbuffers through LiteRT's own schema.

Everything else in `tfprune.export` works on the schema's object API (`ModelT`), so this is the
only module that knows bytes.
"""

import gzip
import hashlib
import os
import struct
from typing import Any, NamedTuple

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file import integrity
from tfprune.export.file.duplicates import duplicate
from tfprune.export.file.four_bit_values import unpacked
from tfprune.export.file.tables import Model, Operator, SubgraphTable, Tensor
from tfprune.support.path_argument import require_path

FILE_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16
_EMPTY = np.zeros(0, np.int32)

OPERATOR_NAMES: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}
TYPE_NAMES: dict[int, str] = {
    code: name.lower() for name, code in vars(schema.TensorType).items() if not name.startswith("_")
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
BITS = {code: 8 * np.dtype(kind).itemsize for code, kind in NUMPY_TYPES.items()}
BITS[schema.TensorType.INT4] = 4

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


class File(NamedTuple):
    """A file: what it says, and its bytes."""

    model: Model
    content: bytes


class _SharingBuilder(flatbuffers.Builder):
    """A builder that writes equal vectors of numbers once, and aligns bytes as the runtime asks.

    Quantized files repeat scales, zero points and shapes in every tensor of an unrolled loop.
    Vectors of bytes hold the weights.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:
        if elemSize == 1:
            alignment = _ALIGNMENT
        return int(super().StartVector(elemSize, numElems, alignment))

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        key = (x.dtype.str, hashlib.sha256(x.tobytes()).digest())
        if key not in self._written:
            self._written[key] = int(super().CreateNumpyVector(x))
        return self._written[key]


class _Content(bytes):
    """The bytes of a file, from which strings can be cut as long as they do not overlap.

    The generated parser cuts them without a look at the end of the file, and copies each: a damaged
    file in which every name is the rest of the file would need memory without limit.
    """

    def __init__(self, content: bytes) -> None:
        self._left = len(content)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            self._left -= key.stop - key.start
            if key.stop > len(self) or self._left < 0:
                raise ValueError("a string ends outside the file, or many share its bytes")
        return super().__getitem__(key)


# The vectors of tables in the schema, and those of them whose tables hold further ones.
_TABLES: dict[type, tuple[str, ...]] = {
    schema.Model: (
        "OperatorCodes",
        "Subgraphs",
        "Buffers",
        "Metadata",
        "SignatureDefs",
        "ExternalBufferGroups",
        "ExternalBuffers",
    ),
    schema.SubGraph: ("Tensors", "Operators"),
    schema.Tensor: ("VariantTensors",),
    schema.SparsityParameters: ("DimMetadata",),
    schema.SignatureDef: ("Inputs", "Outputs"),
}
_NESTING = ("Subgraphs", "Tensors", "SignatureDefs")
_TABLE_BYTES = 8  # the smallest table: its offset in a vector and the offset of its fields


def parse(content: bytes, name: str) -> Model:
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
        root = schema.Model.GetRootAs(_Content(content), 0)
        _count_tables(root, len(content) // _TABLE_BYTES)
        model: Model = schema.ModelT.InitFromObj(root)
        _fill_gaps(model, content)
        integrity.check(model, BITS)
    except _PARSE_ERRORS as error:
        raise ValueError(
            "`path` must name a whole TFLite file, this one is truncated or damaged. "
            f"Received: path={name!r} ({len(content)} bytes; {type(error).__name__}: {error})."
        ) from error
    return model


def read(path: str | os.PathLike[str]) -> File:
    """Reads a .tflite file.

    Args:
        path: The file.

    Returns:
        The file, parsed.

    Raises:
        TypeError: If `path` is no path.
        ValueError: If the file cannot be read, or is empty, foreign or truncated.
    """
    name = require_path("path", path)
    try:
        with open(name, "rb") as file:
            content = file.read()
    except OSError as error:
        raise ValueError(
            f"`path` must name a readable TFLite file. Received: path={name!r} ({error.strerror})."
        ) from error
    return File(parse(content, name), content)


def copied(model: Model) -> Model:
    """A copy of a model to edit; it shares the bytes of constants, which are never changed."""
    copy: Model = duplicate(model, {id(buffer.data): buffer.data for buffer in model.buffers})
    return copy


def pack(model: Model) -> bytes:
    """Writes a `ModelT` as the bytes of a .tflite file, weights on 16-byte boundaries."""
    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    builder = _SharingBuilder(size + (1 << 16))
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def gzip_size(content: bytes) -> int:
    """Bytes of the file as the gzip command compresses it by default.

    Level 9 takes ten times as long on files full of zeros and gains a few percent.
    """
    return len(gzip.compress(content, compresslevel=6, mtime=0))


def builtin_code(model: Model, operator: Operator) -> int:
    """The `BuiltinOperator` value of an operator, from the wide or the old narrow field."""
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def operator_name(model: Model, operator: Operator) -> str:
    """What the schema calls an operator; of a custom one also its own name."""
    code = builtin_code(model, operator)
    if code != schema.BuiltinOperator.CUSTOM:
        return OPERATOR_NAMES.get(code, str(code))
    return f"CUSTOM {custom_name(model, operator)}".strip()


def custom_name(model: Model, operator: Operator) -> str:
    """The name of a custom operator; empty for any other."""
    return (model.operatorCodes[operator.opcodeIndex].customCode or b"").decode(errors="replace")


def shape(tensor: Tensor) -> tuple[int, ...]:
    """The shape of a tensor; () for a scalar."""
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def constant(model: Model, tensor: Tensor) -> np.ndarray | None:
    """The stored values of a tensor as a flat array, or None where nothing is stored.

    A sparse tensor stores its kept values only, zero elements of kept blocks included. Values of
    4 bits become int8, but for those of sparse tensors, which no runtime takes.
    """
    data = model.buffers[tensor.buffer].data
    if data is None or len(data) == 0 or tensor.type not in BITS:
        return None
    if tensor.type == schema.TensorType.INT4:
        return None if tensor.sparsity else unpacked(np.asarray(data), shape(tensor)).ravel()
    return np.frombuffer(np.asarray(data, np.uint8).tobytes(), NUMPY_TYPES[tensor.type])


def add_buffer(model: Model, values: np.ndarray) -> int:
    """Appends the bytes of an array as a new buffer and returns its index."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def _count_tables(table: object, room: int) -> int:
    """Checks the lengths of a table's vectors of tables, before anything loops over them.

    Vectors may share tables, so lengths that each fit the file can multiply to billions of objects.

    Args:
        table: A table of the schema, not unpacked.
        room: How many more tables the file can hold.

    Returns:
        How many more it can hold after those below `table`.

    Raises:
        ValueError: If there is no room for them.
    """
    for name in _TABLES[type(table)]:
        length = getattr(table, f"{name}Length")()
        room -= length
        if room < 0:
            raise ValueError(f"{length} {name}, for which the file has no room")
        for index in range(length if name in _NESTING else 0):
            room = _count_tables(getattr(table, name)(index), room)
    if isinstance(table, schema.Tensor) and (sparsity := table.Sparsity()) is not None:
        room = _count_tables(sparsity, room)
    return room


def _fill_gaps(model: Model, content: bytes) -> None:
    """Puts empty vectors where the file has none, and data stored behind the flatbuffer inside."""
    for subgraph in model.subgraphs or ():
        subgraph.tensors, subgraph.operators = subgraph.tensors or [], subgraph.operators or []
        holders: list[SubgraphTable | Operator] = [subgraph, *subgraph.operators]
        for holder in holders:
            holder.inputs = _EMPTY if holder.inputs is None else holder.inputs
            holder.outputs = _EMPTY if holder.outputs is None else holder.outputs
        for operator in subgraph.operators:
            if operator.largeCustomOptionsOffset > 1:
                place = operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize
                operator.customOptions = _behind(content, *place)
                operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0
    for buffer in model.buffers or ():
        if buffer.offset > 1:  # 1 is the converter's placeholder for a place not known yet
            buffer.data = _behind(content, buffer.offset, buffer.size)
            buffer.offset = buffer.size = 0


def _behind(content: bytes, offset: int, size: int) -> np.ndarray:
    """The bytes of a large model's weights, which lie behind its flatbuffer in the same file."""
    return np.frombuffer(content, np.uint8, count=size, offset=offset)
