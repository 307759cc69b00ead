"""Sparse encoding of the constants of a dense .tflite model.

An encoded weight reaches its operator in one of two ways:

- *native*: FULLY_CONNECTED itself reads compressed rows and compressed rows of 1x4 blocks of
  float32, and 1x16 blocks of int8 (operator version 8), and skips the zeros;
- *DENSIFY*: an operator that expands the weight once, when the model is first run. The arithmetic
  stays dense, but where XNNPACK multiplies 1x1 convolutions sparsely, which it does for weights
  from DENSIFY (see `tfprune.export.predict.clusters`).

Weights may also be stored in fewer bits (`quantize`), with a DEQUANTIZE that gives float32: XNNPACK
runs both operators once, when it takes over the model.

The converter's own sparsity pass is not used: it takes unstructured weights for blocks, so that
files grow, and writes operator versions that some runtimes crash on.
"""

import dataclasses

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.encode import costs, layouts, narrowing
from tfprune.export.file import flatbuffer
from tfprune.export.file.constants import Use, Weight, constant_weights
from tfprune.export.file.subgraph import OPERATORS, TYPES
from tfprune.export.file.tables import Model, Operator
from tfprune.targets.target import TARGETS, Target

_NATIVE_VERSION = 8

# Tables, operator and tensor that one encoding adds to the file, rounded up (a test checks it).
_OVERHEAD_BYTES = 512


@dataclasses.dataclass(frozen=True)
class EncodedTensor:
    """What became of one constant.

    Attributes:
        name: The tensor's name in the file.
        shape: Its dense shape, in TFLite's order of axes.
        sparsity: Its fraction of zeros, in [0, 1].
        nonzeros: Its number of nonzero values.
        encoding: "native rows", "native 1x4", "native 1x16", "densify rows", "densify block N", or
            "dense" where it is stored in fewer bits only.
        dtype: The type of the stored values: "float32", "float16" or "int8".
        dense_bytes: Bytes of the dense constant before.
        encoded_bytes: Bytes of values, segments and indices.
    """

    name: str
    shape: tuple[int, ...]
    sparsity: float
    nonzeros: int
    encoding: str
    dtype: str
    dense_bytes: int
    encoded_bytes: int


@dataclasses.dataclass(frozen=True)
class _Plan:
    """How one constant is stored: narrowed, encoded, or both."""

    narrowed: narrowing.Narrowed
    encoded: layouts.Encoded | None
    native: bool

    def nbytes(self, uses: int) -> int:
        """Bytes in the file: tensors share values, but each has segments and indices of its own."""
        if self.encoded is None:
            return int(self.narrowed.values.nbytes)
        values = self.encoded.values.nbytes
        return int(values + uses * (self.encoded.nbytes - values))

    @property
    def encoding(self) -> str:
        """The name that reports give it."""
        if self.encoded is None:
            return "dense"
        block = self.encoded.layout.block
        if self.native:
            return "native rows" if block == 1 else f"native 1x{block}"
        return "densify rows" if block == 1 else f"densify block {block}"


def encode_model(
    model: Model,
    *,
    target: Target = TARGETS["auto"],
    quantize: str | None = None,
    densify: bool = True,
) -> tuple[Model, tuple[EncodedTensor, ...]]:
    """Encodes each constant that becomes smaller by it.

    Args:
        model: A parsed model, which stays as it is.
        target: It decides which native kernels pay.
        quantize: "float16" or "int8_weights" to store float32 constants in fewer bits; anything
            else leaves every value as it is.
        densify: Whether weights that no native kernel reads may be sparse too.

    Returns:
        The new model, and one entry per encoded constant.
    """
    model = flatbuffer.copied(model)
    weights = list(constant_weights(model))
    plans = {weight: _plan(weight, target, quantize, densify) for weight in weights}
    # LiteRT.js computes garbage where an operator has one constant in float16 and one in float32,
    # so what native kernels read in float32 keeps its bias too, and everything else changes.
    skipping = {id(r) for w, p in plans.items() if p.native for u in w.uses for r in u.readers}
    entries = []
    for weight, plan in plans.items():
        readers = {id(reader) for use in weight.uses for reader in use.readers}
        if not weight.is_matrix and readers & skipping:
            continue
        size = plan.nbytes(len(weight.uses))
        smaller = size + len(weight.uses) * _OVERHEAD_BYTES < weight.values.nbytes
        if not smaller and plan.narrowed.kind != TYPES.FLOAT16:
            continue
        _store(model, weight, plan)
        entries.append(_entry(weight, plan, size))
    return model, tuple(entries)


def _entry(weight: Weight, plan: _Plan, size: int) -> EncodedTensor:
    stored = plan.narrowed.values
    nonzeros = int(np.count_nonzero(stored))
    return EncodedTensor(
        name=weight.name,
        shape=stored.shape,
        sparsity=1 - nonzeros / max(1, stored.size),
        nonzeros=nonzeros,
        encoding=plan.encoding,
        dtype=stored.dtype.name,
        dense_bytes=weight.values.nbytes,
        encoded_bytes=size,
    )


def _plan(weight: Weight, target: Target, quantize: str | None, densify: bool) -> _Plan:
    unchanged = narrowing.unchanged(weight.values)
    if weight.fully_connected:
        native = costs.fastest_native(weight.values, target.costs)
        if native is not None:
            return _Plan(unchanged, native, native=True)
    if weight.values.dtype != np.float32:
        return _Plan(unchanged, None, native=False)  # DENSIFY does not go with int8 arithmetic
    narrowed = narrowing.narrow(weight, quantize)
    encoded = layouts.smallest(narrowed.values) if weight.is_matrix and densify else None
    if encoded is None or encoded.nbytes + _OVERHEAD_BYTES >= narrowed.values.nbytes:
        return _Plan(narrowed, None, native=False)
    return _Plan(narrowed, encoded, native=False)


def _store(model: Model, weight: Weight, plan: _Plan) -> None:
    """Puts the planned values in the place of the dense ones, for every tensor over them."""
    model.buffers[weight.buffer].data = None
    stored = plan.narrowed.values if plan.encoded is None else plan.encoded.values
    buffer = flatbuffer.add_buffer(model, stored)
    for use in weight.uses:
        subgraph, tensor, readers = use.subgraph, use.subgraph.tensor(use.index), use.readers
        if plan.narrowed.kind is not None:
            readers = [_insert_dequantize(use, readers, plan.narrowed)]
        if plan.encoded is not None:
            tensor.sparsity = layouts.parameters(plan.encoded)
            if plan.native:
                for reader in readers:
                    subgraph.set_version(reader, _NATIVE_VERSION)
            else:
                _insert_densify(use, readers)
        tensor.buffer = buffer


def _insert_dequantize(use: Use, readers: list[Operator], narrowed: narrowing.Narrowed) -> Operator:
    """Makes the tensor narrow, with a DEQUANTIZE that gives its readers float32."""
    subgraph, tensor = use.subgraph, use.subgraph.tensor(use.index)
    name = f"{subgraph.name(use.index)}/dequantized"
    wide = subgraph.add_tensor(subgraph.shape(use.index), TYPES.FLOAT32, name=name)
    tensor.type = TYPES.FLOAT32 if narrowed.kind is None else narrowed.kind
    tensor.quantization = narrowed.quantization()
    version = narrowed.dequantize_version
    options = schema.DequantizeOptionsT()
    made = subgraph.operator(OPERATORS.DEQUANTIZE, [use.index], [wide], options, version=version)
    for reader in readers:
        subgraph.replace_input(reader, use.index, wide)
    subgraph.operators.insert(0, made)
    return made


def _insert_densify(use: Use, readers: list[Operator]) -> None:
    """Puts a DENSIFY between the tensor, which is sparse, and its readers."""
    subgraph, kind = use.subgraph, use.subgraph.tensor(use.index).type
    name = f"{subgraph.name(use.index)}/densified"
    dense = subgraph.add_tensor(subgraph.shape(use.index), kind, name=name, like=use.index)
    for reader in readers:
        subgraph.replace_input(reader, use.index, dense)
    options = schema.DensifyOptionsT()
    subgraph.operators.insert(
        0, subgraph.operator(OPERATORS.DENSIFY, [use.index], [dense], options)
    )
