"""Sparse encoding of the constants of a dense .tflite model.

An encoded weight reaches its operator in one of two ways:

- *native*: FULLY_CONNECTED itself reads two float32 layouts, compressed rows and compressed rows
  of 1x4 blocks (operator version 8), and skips the zeros;
- *DENSIFY*: an operator that expands the weight once, when the model is first run. The file is
  smaller and the arithmetic stays dense: as fast as it was, but for large recurrent weights,
  which were measured up to 10 % slower so.

The converter's own sparsity pass is not used: it takes unstructured weights for blocks, so that
files grow, and writes operator versions that some runtimes crash on.
"""

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export import encodings, flatbuffer

_OPERATOR = schema.BuiltinOperator
_NATIVE_VERSION = 8
_NATIVE_BLOCK = 4

# The operators that may read a weight from DENSIFY, and the input that holds the weight.
_WEIGHT_INPUT = {
    _OPERATOR.CONV_2D: 1,
    _OPERATOR.CONV_3D: 1,
    _OPERATOR.DEPTHWISE_CONV_2D: 1,
    _OPERATOR.FULLY_CONNECTED: 1,
    _OPERATOR.GATHER: 0,
    _OPERATOR.TRANSPOSE_CONV: 1,
}

# Tables, operator and tensor that one encoding adds to the file, rounded up (a test checks it).
_OVERHEAD_BYTES = 512

# Nanoseconds on one x86-64 core with AVX-512 (LiteRT 2.3.0, layers of 128 to 1024 units, batch 1):
# the dense kernel per weight in the cache, the sparse kernels per stored value and per call. They
# decide native against DENSIFY, never what is computed: large blocked weights turn native at 82 %
# zeros, unstructured ones at 95 %.
_DENSE_NS, _ROWS_NS, _BLOCKS_NS, _CALL_NS = 0.06, 1.06, 0.33, 500.0


@dataclasses.dataclass(frozen=True)
class EncodedTensor:
    """What became of one weight.

    Attributes:
        name: The tensor's name in the file.
        shape: Its dense shape, in TFLite's order of axes.
        sparsity: Its fraction of zeros, in [0, 1).
        nonzeros: Its number of nonzero values.
        encoding: "native rows", "native 1x4", "densify rows" or "densify block N".
        dense_bytes: Bytes of the dense constant.
        encoded_bytes: Bytes of values, segments and indices.
    """

    name: str
    shape: tuple[int, ...]
    sparsity: float
    nonzeros: int
    encoding: str
    dense_bytes: int
    encoded_bytes: int


@dataclasses.dataclass(frozen=True)
class _Use:
    """A tensor over a buffer, with the graph it is in and the operators that read it."""

    graph: Any
    index: int
    readers: tuple[Any, ...]

    @property
    def tensor(self) -> Any:
        return self.graph.tensors[self.index]


def encode_weights(content: bytes) -> tuple[bytes, tuple[EncodedTensor, ...]]:
    """Encodes each float32 weight that becomes smaller by it; the values stay as they are.

    Args:
        content: A .tflite file.

    Returns:
        The file with sparse weights, and one entry per encoded weight. Where nothing becomes
        smaller, `content` itself and no entries.
    """
    model = flatbuffer.parse(content, "the dense model")
    encoded = []
    for uses in _weights(model):
        entry = _encode_weight(model, uses)
        if entry is not None:
            encoded.append(entry)
    if not encoded:
        return content, ()
    return flatbuffer.pack(model), tuple(encoded)


def _weights(model: Any) -> Iterator[list[_Use]]:
    """The tensors over each float32 buffer that only weight inputs read.

    Tensors in several graphs may share a buffer; the dense one goes away only if all are encoded.
    """
    by_buffer: dict[int, list[_Use]] = {}
    other = {entry.buffer for entry in model.metadata or ()}
    for graph in model.subgraphs:
        readers: dict[int, list[Any]] = {}
        outside = {int(index) for index in (*graph.inputs, *graph.outputs)}
        for operator in graph.operators:
            wanted = _WEIGHT_INPUT.get(flatbuffer.builtin_code(model, operator))
            for position, index in enumerate(operator.inputs):
                readers.setdefault(int(index), []).append(operator)
                if position != wanted:
                    outside.add(int(index))
        for index, tensor in enumerate(graph.tensors):
            by_buffer.setdefault(tensor.buffer, []).append(
                _Use(graph, index, tuple(readers.get(index, ())))
            )
            if index in outside or index not in readers or not _is_weight(tensor):
                other.add(tensor.buffer)
    for buffer, uses in by_buffer.items():
        shapes = {flatbuffer.shape(use.tensor) for use in uses}
        if buffer not in other and len(shapes) == 1 and model.buffers[buffer].data is not None:
            yield uses


def _is_weight(tensor: Any) -> bool:
    return (
        tensor.type == schema.TensorType.FLOAT32
        and tensor.sparsity is None
        and len(flatbuffer.shape(tensor)) >= 2
    )


def _encode_weight(model: Any, uses: list[_Use]) -> EncodedTensor | None:
    """Encodes one weight in all its tensors, or returns None where that would not be smaller."""
    first = uses[0].tensor
    stored = flatbuffer.constant(model, first)
    if stored is None:
        return None
    weight = stored.reshape(flatbuffer.shape(first))
    native = _native(weight) if _only_fully_connected(model, uses) else None
    encoded = native or encodings.smallest(weight)
    # Values are shared between the tensors, segments and indices are not.
    metadata = encoded.nbytes - encoded.values.nbytes
    size = encoded.values.nbytes + len(uses) * metadata
    if size + len(uses) * _OVERHEAD_BYTES >= weight.nbytes:
        return None
    model.buffers[first.buffer].data = None
    buffer = flatbuffer.add_buffer(model, encoded.values)
    for use in uses:
        if native is None:
            _insert_densify(model, use)
        else:
            _use_native_version(model, use)
        use.tensor.buffer = buffer
        use.tensor.sparsity = encodings.parameters(encoded)
    nonzeros = int(np.count_nonzero(weight))
    return EncodedTensor(
        name=first.name.decode(errors="replace"),
        shape=weight.shape,
        sparsity=1 - nonzeros / weight.size,
        nonzeros=nonzeros,
        encoding=_describe(encoded, native is not None),
        dense_bytes=weight.nbytes,
        encoded_bytes=size,
    )


def _describe(encoded: encodings.Encoded, native: bool) -> str:
    block = encoded.layout.block
    if native:
        return "native rows" if block == 1 else f"native 1x{block}"
    return "densify rows" if block == 1 else f"densify block {block}"


def _only_fully_connected(model: Any, uses: list[_Use]) -> bool:
    codes = {flatbuffer.builtin_code(model, reader) for use in uses for reader in use.readers}
    return codes == {_OPERATOR.FULLY_CONNECTED}


def _native(weight: np.ndarray) -> encodings.Encoded | None:
    """The faster of the two native layouts, or None where the dense kernel is faster still."""
    choices = [(_ROWS_NS, encodings.Layout(last=1))]
    if weight.shape[1] % _NATIVE_BLOCK == 0:
        choices.append((_BLOCKS_NS, encodings.Layout(1, block_axis=1, block=_NATIVE_BLOCK)))
    timed = []
    for value_ns, layout in choices:
        encoded = encodings.encode(weight, layout)
        timed.append((_CALL_NS + value_ns * encoded.values.size, encoded))
    fastest_ns, fastest = min(timed, key=lambda pair: pair[0])
    return fastest if fastest_ns < weight.size * _DENSE_NS else None


def _use_native_version(model: Any, use: _Use) -> None:
    """Raises the operator version of the readers, in a code of their own."""
    for reader in use.readers:
        code = copy.copy(model.operatorCodes[reader.opcodeIndex])
        code.version = _NATIVE_VERSION
        reader.opcodeIndex = _code_index(model, code)


def _insert_densify(model: Any, use: _Use) -> None:
    """Puts a DENSIFY between the tensor, which becomes sparse, and its readers."""
    graph, sparse = use.graph, use.tensor
    dense = copy.copy(sparse)
    dense.name = sparse.name + b"/densified"
    dense.buffer = 0  # by convention the empty buffer
    graph.tensors.append(dense)
    dense_index = len(graph.tensors) - 1
    for reader in use.readers:
        reader.inputs = np.array(
            [dense_index if index == use.index else index for index in reader.inputs], np.int32
        )
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = _OPERATOR.DENSIFY
    code.version = 1
    densify = schema.OperatorT()
    densify.opcodeIndex = _code_index(model, code)
    densify.inputs = np.array([use.index], np.int32)
    densify.outputs = np.array([dense_index], np.int32)
    densify.builtinOptionsType = schema.BuiltinOptions.DensifyOptions
    densify.builtinOptions = schema.DensifyOptionsT()
    graph.operators.insert(0, densify)


def _code_index(model: Any, code: Any) -> int:
    """The index of an equal operator code, appended where there is none."""
    for index, known in enumerate(model.operatorCodes):
        if vars(known) == vars(code):
            return index
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
