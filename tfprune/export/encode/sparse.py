"""Storing the constants of a dense .tflite model in fewer bytes.

An encoded weight reaches its operator in one of three ways:

- *native*: FULLY_CONNECTED itself reads compressed rows and compressed rows of 1x4 blocks of
  float32, and 1x16 blocks of int8 (operator version 8), and skips the zeros;
- *DENSIFY*: an operator that expands the weight once, when the model is first run. The arithmetic
  stays dense, but where XNNPACK multiplies 1x1 convolutions sparsely, which it does for weights
  from DENSIFY (see `tfprune.export.predict.clusters`);
- *DEQUANTIZE*: an operator that gives float32 for weights in fewer bits (`quantize`), after a
  DENSIFY if there is one: XNNPACK runs both once, when it takes over the model.

Which of them each weight takes is decided in `plans`. The converter's own sparsity pass is not
used: it takes unstructured weights for blocks, so that files grow, and writes operator versions
that some runtimes crash on.
"""

import copy
import dataclasses
from collections.abc import Container

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.encode import layouts, narrowing, plans
from tfprune.export.encode.plans import Plan
from tfprune.export.file import flatbuffer
from tfprune.export.file.constants import Use, Weight, constant_weights
from tfprune.export.file.decoding import read_between
from tfprune.export.file.subgraph import OPERATORS, TYPES, Subgraph, subgraphs
from tfprune.export.file.tables import Model, Operator
from tfprune.targets.target import TARGETS, Target

_NATIVE_VERSION = 8
_INT8_GATHER_VERSION = 2


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
        encoded_bytes: Bytes of values, segments, indices and scales.
    """

    name: str
    shape: tuple[int, ...]
    sparsity: float
    nonzeros: int
    encoding: str
    dtype: str
    dense_bytes: int
    encoded_bytes: int


def encode_model(
    model: Model,
    *,
    target: Target = TARGETS["auto"],
    quantize: str | None = None,
    densify: bool = True,
    delegated: Container[tuple[int, int]] = (),
) -> tuple[Model, tuple[EncodedTensor, ...]]:
    """Encodes each constant that becomes smaller by it.

    Args:
        model: A parsed model, which stays as it is.
        target: It decides which native kernels pay.
        quantize: "float16" or "int8_weights" to store float32 constants in fewer bits; anything
            else leaves every value as it is.
        densify: Whether weights that no native kernel reads may be sparse too.
        delegated: The operators that XNNPACK runs: subgraph and position there.

    Returns:
        The new model, and one entry per encoded constant.
    """
    model = flatbuffer.copied(model)
    taken = {
        operator
        for number, subgraph in enumerate(subgraphs(model))
        for position, operator in enumerate(subgraph.operators)
        if (number, position) in delegated
    }
    weights = list(constant_weights(model))
    between = read_between(model)
    made = {
        weight: plans.plan(
            weight,
            target=target.reading(between.get(weight.buffer, 0)),
            quantize=quantize,
            densify=densify,
            delegated=taken,
        )
        for weight in weights
        if not weight.is_bias
    }
    # LiteRT.js computes garbage where an operator has one constant in float16 and one in float32.
    half = {
        reader
        for weight, plan in made.items()
        if plan.narrowed.kind == TYPES.FLOAT16
        for _, reader in weight.readers
    }
    entries = []
    for weight in weights:
        plan = made.get(weight)
        if plan is None:
            plan = Plan(narrowing.narrow(weight, quantize))
            if _store(model, weight, plan, only=half):
                entries.append(_entry(weight, plan))
        elif plan.encoded is not None or plan.narrowed.kind is not None:
            _store(model, weight, plan)
            entries.append(_entry(weight, plan))
    return model, tuple(entries)


def _entry(weight: Weight, plan: Plan) -> EncodedTensor:
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
        encoded_bytes=plan.nbytes,
    )


def _store(model: Model, weight: Weight, plan: Plan, only: set[Operator] | None = None) -> bool:
    """Puts the planned values in the place of the dense ones, for every tensor over them.

    Args:
        model: The model, changed in place.
        weight: One of its weights.
        plan: How to store it.
        only: The operators that shall read the new values; None for all. The others
            go on reading the old ones.

    Returns:
        Whether any operator reads the new values.
    """
    buffer, left = 0, False
    for use in weight.uses:
        readers = [each for each in use.readers if only is None or each in only]
        left |= len(readers) < len(use.readers)
        if readers:
            buffer = buffer or flatbuffer.add_buffer(
                model, plan.narrowed.values if plan.encoded is None else plan.encoded.values
            )
            _write(_own(use, readers), plan, buffer)
    if buffer and not left:
        model.buffers[weight.buffer].data = None
    return buffer > 0


def _own(use: Use, readers: list[Operator]) -> Use:
    """The same use where all of its readers are meant, else a tensor of those that are."""
    if len(readers) == len(use.readers):
        return use
    subgraph = use.subgraph
    old = subgraph.tensor(use.index)
    name = f"{subgraph.name(use.index)}/{len(readers)}"
    index = subgraph.add_tensor(subgraph.shape(use.index), old.type, name=name, like=use.index)
    for reader in readers:
        subgraph.replace_input(reader, use.index, index)
    return Use(subgraph, index, readers)


def _write(use: Use, plan: Plan, buffer: int) -> None:
    """Makes one tensor what the plan says, with the operators that its readers need."""
    subgraph, tensor, readers = use.subgraph, use.subgraph.tensor(use.index), use.readers
    if plan.widened_after:
        _narrow_table(use, plan.narrowed)
    elif plan.narrowed.kind is not None:
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
    subgraph = use.subgraph
    name = f"{subgraph.name(use.index)}/dequantized"
    wide = subgraph.add_tensor(subgraph.shape(use.index), TYPES.FLOAT32, name=name)
    _set_type(use, narrowed)
    made = _dequantize(subgraph, use.index, wide, narrowed)
    for reader in readers:
        subgraph.replace_input(reader, use.index, wide)
    subgraph.operators.insert(0, made)
    return made


def _narrow_table(use: Use, narrowed: narrowing.Narrowed) -> None:
    """Makes a table narrow, with a DEQUANTIZE after each operator that takes rows of it."""
    subgraph = use.subgraph
    _set_type(use, narrowed)
    for reader in use.readers:
        wide = int(reader.outputs[0])
        rank = len(subgraph.shape(wide))
        name = f"{subgraph.name(wide)}/narrow"
        taken = subgraph.add_tensor(subgraph.shape(wide), narrowed.stored_type, name=name)
        subgraph.tensor(taken).shapeSignature = copy.copy(subgraph.tensor(wide).shapeSignature)
        subgraph.tensor(taken).quantization = narrowed.quantization(rank - 1)
        reader.outputs = np.array([taken], np.int32)
        if narrowed.stored_type == TYPES.INT8:
            subgraph.set_version(reader, _INT8_GATHER_VERSION)
        after = subgraph.operators.index(reader) + 1
        subgraph.operators.insert(after, _dequantize(subgraph, taken, wide, narrowed))


def _set_type(use: Use, narrowed: narrowing.Narrowed) -> None:
    tensor = use.subgraph.tensor(use.index)
    tensor.type = narrowed.stored_type
    tensor.quantization = narrowed.quantization(narrowed.axis)


def _dequantize(
    subgraph: Subgraph, narrow: int, wide: int, narrowed: narrowing.Narrowed
) -> Operator:
    options = schema.DequantizeOptionsT()
    version = narrowed.dequantize_version
    return subgraph.operator(OPERATORS.DEQUANTIZE, [narrow], [wide], options, version=version)


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
