"""What is in a .tflite file."""

import collections
import dataclasses
import math
import os

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file import flatbuffer
from tfprune.export.file.tables import Model, Operator, Sparsity, Tensor


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """A constant of a file.

    Attributes:
        name: The tensor's name.
        graph: The index of its subgraph; 0 is the main one, others are loop bodies and conditions.
        shape: Its dense shape.
        dtype: Its type, such as "float32".
        stored_bytes: Bytes of its values, segments and indices. Tensors may share values.
        nonzeros: Its number of nonzero values, NaN included.
        nans: How many of them are NaN.
        encoding: "dense", "rows" or "block N".
    """

    name: str
    graph: int
    shape: tuple[int, ...]
    dtype: str
    stored_bytes: int
    nonzeros: int
    encoding: str
    nans: int = 0

    @property
    def sparsity(self) -> float:
        """The fraction of zeros."""
        return 1 - self.nonzeros / max(1, int(np.prod(self.shape)))


@dataclasses.dataclass(frozen=True)
class Inspection:
    """The contents of a .tflite file.

    Attributes:
        path: The file.
        bytes: Its size.
        gzip_bytes: Its size after gzip.
        operators: Operator name and version, such as "FULLY_CONNECTED v8", to how often it occurs.
        tensor_count: Number of tensors, activations included.
        constants: Its constants, largest first.
    """

    path: str
    bytes: int
    gzip_bytes: int
    operators: dict[str, int]
    tensor_count: int
    constants: tuple[TensorInfo, ...]

    @property
    def sparse_tensors(self) -> tuple[TensorInfo, ...]:
        """The constants with a sparse encoding."""
        return tuple(tensor for tensor in self.constants if tensor.encoding != "dense")

    def to_dict(self) -> dict[str, object]:
        """The contents as plain values, ready for JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        operators = ", ".join(f"{count} {name}" for name, count in self.operators.items())
        width = max([40, *(len(tensor.name) + 1 for tensor in self.constants)])
        lines = [
            f"{self.path}: {self.bytes:,} bytes, {self.gzip_bytes:,} after gzip",
            f"  operators: {operators}",
            f"  tensors: {self.tensor_count}, sparse: {len(self.sparse_tensors)}",
            f"  {'constant':<{width}}{'shape':>18}{'nonzeros':>11}{'sparsity':>10}{'bytes':>11}"
            "  encoding",
        ]
        lines += [
            f"  {tensor.name:<{width}}{'x'.join(map(str, tensor.shape)):>18}"
            f"{tensor.nonzeros:>11,}{tensor.sparsity:>10.4f}{tensor.stored_bytes:>11,}"
            f"  {tensor.dtype} {tensor.encoding}"
            for tensor in self.constants
        ]
        lines += [
            f"  warning: {tensor.nans:,} NaN among the nonzeros of {tensor.name!r}"
            for tensor in self.constants
            if tensor.nans
        ]
        return "\n".join(lines)


def inspect_tflite(path: str | os.PathLike[str]) -> Inspection:
    """Reads what a .tflite file holds, without running it.

    Args:
        path: The file.

    Returns:
        Its operators, constants and sizes; `print` shows them as a table.

    Raises:
        ValueError: If the file cannot be read, or is empty, foreign or truncated.

    Example:
        >>> inspect_tflite("no such file.tflite")
        Traceback (most recent call last):
        ValueError: `path` must name a readable TFLite file. Received: ...
    """
    model, content = flatbuffer.read(path)
    operators = collections.Counter(
        _operator_name(model, operator)
        for subgraph in model.subgraphs
        for operator in subgraph.operators or ()
    )
    constants = [
        found
        for index, subgraph in enumerate(model.subgraphs)
        for tensor in subgraph.tensors or ()
        if (found := _constant(model, tensor, index)) is not None
    ]
    return Inspection(
        path=os.fspath(path),
        bytes=len(content),
        gzip_bytes=flatbuffer.gzip_size(content),
        operators=dict(operators.most_common()),
        tensor_count=sum(len(subgraph.tensors or ()) for subgraph in model.subgraphs),
        constants=tuple(sorted(constants, key=lambda tensor: -tensor.stored_bytes)),
    )


def _operator_name(model: Model, operator: Operator) -> str:
    version = model.operatorCodes[operator.opcodeIndex].version
    return f"{flatbuffer.operator_name(model, operator)} v{version}"


def _constant(model: Model, tensor: Tensor, subgraph: int) -> TensorInfo | None:
    values = flatbuffer.constant(model, tensor)
    if values is None:
        return None
    encoding, metadata = "dense", 0
    if tensor.sparsity is not None:
        encoding, metadata = _encoding(tensor.sparsity)
    return TensorInfo(
        name=(tensor.name or b"").decode(errors="replace"),
        graph=subgraph,
        shape=flatbuffer.shape(tensor),
        dtype=flatbuffer.TYPE_NAMES[tensor.type],
        stored_bytes=-(-values.size * flatbuffer.BITS[tensor.type] // 8) + metadata,
        nonzeros=int(np.count_nonzero(values)),
        encoding=encoding,
        nans=int(np.count_nonzero(values != values)),  # which no number is
    )


def _encoding(sparsity: Sparsity) -> tuple[str, int]:
    """The name of a sparse encoding, and the bytes of its segments and indices."""
    levels = sparsity.dimMetadata or []
    vectors = [
        vector.values
        for level in levels
        if level.format == schema.DimensionType.SPARSE_CSR
        for vector in (level.arraySegments, level.arrayIndices)
        if vector is not None
    ]
    blocks = 0 if sparsity.blockMap is None else len(sparsity.blockMap)
    size = math.prod(level.denseSize for level in levels[len(levels) - blocks :])
    name = f"block {size}" if blocks else "rows"
    return name, sum(np.asarray(values).nbytes for values in vectors if values is not None)
