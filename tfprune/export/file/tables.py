"""The tables of a parsed .tflite file, as types: what of LiteRT's generated schema is used here.

The generated classes (`ModelT`, `SubGraphT`, ...) have no types of their own. These protocols name
their fields for readers and for mypy; the objects are always those of the schema.
"""

from typing import Any, Protocol

import flatbuffers
import numpy as np


class Buffer(Protocol):
    """The bytes of a constant, in the file or behind its flatbuffer."""

    data: np.ndarray | None
    offset: int
    size: int


class Quantization(Protocol):
    """Scales and zero points: one, or one for each index of a dimension."""

    scale: np.ndarray | None
    zeroPoint: np.ndarray | None
    quantizedDimension: int


class IndexVector(Protocol):
    """Segments or indices, in one of three integer types."""

    values: np.ndarray | None


class Level(Protocol):
    """One level of a sparse tensor's walk."""

    format: int
    denseSize: int
    arraySegmentsType: int
    arraySegments: IndexVector | None
    arrayIndicesType: int
    arrayIndices: IndexVector | None


class Sparsity(Protocol):
    """How the values of a sparse tensor lie."""

    traversalOrder: np.ndarray | None
    blockMap: np.ndarray | None
    dimMetadata: list[Level] | None


class Tensor(Protocol):
    """A tensor: a constant or an activation."""

    name: bytes | None
    shape: np.ndarray | None
    shapeSignature: np.ndarray | None
    type: int
    buffer: int
    quantization: Quantization | None
    sparsity: Sparsity | None
    hasRank: bool


class Operator(Protocol):
    """An operator of a subgraph; `builtinOptions` are those of its kind."""

    opcodeIndex: int
    inputs: np.ndarray
    outputs: np.ndarray
    intermediates: np.ndarray | None
    builtinOptionsType: int
    builtinOptions: Any
    builtinOptions2: Any
    customOptions: np.ndarray | None
    largeCustomOptionsOffset: int
    largeCustomOptionsSize: int


class OperatorCode(Protocol):
    """A kind of operator and its version."""

    builtinCode: int
    deprecatedBuiltinCode: int
    customCode: bytes | None
    version: int


class SubgraphTable(Protocol):
    """Tensors and the operators between them, in running order."""

    tensors: list[Tensor]
    operators: list[Operator]
    inputs: np.ndarray
    outputs: np.ndarray


class TensorMap(Protocol):
    """The name that a signature gives to a tensor."""

    name: bytes | None
    tensorIndex: int


class SignatureDef(Protocol):
    """The names of a subgraph's inputs and outputs."""

    signatureKey: bytes | None
    subgraphIndex: int
    inputs: list[TensorMap] | None
    outputs: list[TensorMap] | None


class Metadata(Protocol):
    """A named buffer beside the tensors."""

    buffer: int


class Model(Protocol):
    """A whole file."""

    version: int
    operatorCodes: list[OperatorCode]
    subgraphs: list[SubgraphTable]
    buffers: list[Buffer]
    metadata: list[Metadata] | None
    signatureDefs: list[SignatureDef] | None

    def Pack(self, builder: flatbuffers.Builder) -> int:
        """Writes the model with a flatbuffers builder; returns where it begins."""
