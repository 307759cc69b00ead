"""Whether a parsed .tflite model is consistent: indices, shapes, sizes, sparse layouts.

A damaged file often still parses. What is checked here is what the rest of `tfprune.export` relies
on, so that damage is one error on reading and never a wrong table or a crash later.
"""

import math

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.tables import IndexVector, Model, Quantization, Sparsity, Tensor

_MOST_DIMENSIONS = 64
_SPARSE = schema.DimensionType.SPARSE_CSR


def check(model: Model, bits: dict[int, int]) -> None:
    """Raises ValueError where a parsed model contradicts itself.

    Args:
        model: The `ModelT`.
        bits: Tensor type to bits of one element; constants of other types are not checked.

    Raises:
        ValueError: If an index points at nothing, or sizes do not fit each other.
    """
    if not model.subgraphs or not model.buffers:
        raise ValueError("no subgraph or no buffer")
    codes = range(len(model.operatorCodes or ()))
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            _check_tensor(model, tensor, bits)
        tensors = range(len(subgraph.tensors))
        _require_indices(subgraph.inputs, tensors, "a graph")
        _require_indices(subgraph.outputs, tensors, "a graph")
        optional = range(-1, len(subgraph.tensors))  # -1 stands for an absent tensor
        for operator in subgraph.operators:
            _require(operator.opcodeIndex in codes, "an operator names a code that is not there")
            for indices in (operator.inputs, operator.outputs, operator.intermediates):
                _require_indices(indices, optional, "an operator")


def _check_tensor(model: Model, tensor: Tensor, bits: dict[int, int]) -> None:
    name = repr((tensor.name or b"").decode(errors="replace"))
    known = tensor.buffer in range(len(model.buffers))
    _require(known, f"tensor {name} names a buffer that is not there")
    shape = _integers(tensor.shape)
    _check_quantization(tensor.quantization, shape, name)
    count = None
    if tensor.sparsity is not None:
        count = _stored_values(tensor.sparsity, shape, name)
    data = model.buffers[tensor.buffer].data
    if data is None or len(data) == 0 or tensor.type not in bits:
        return
    if count is None:
        _require(min(shape, default=1) >= 0, f"constant {name} has the shape {shape}")
        count = math.prod(shape)
    size = bits[tensor.type]
    _require(
        -(-count * size // 8) == len(data),
        f"constant {name} needs {count} values of {size} bits and has {len(data)} bytes",
    )


def _check_quantization(quantization: Quantization | None, shape: list[int], name: str) -> None:
    """One scale for the whole tensor, or one for each index of its quantized dimension."""
    if quantization is None or quantization.scale is None or len(quantization.scale) < 2:
        return
    axis, count = quantization.quantizedDimension, len(quantization.scale)
    fits = axis in range(len(shape)) and shape[axis] == count
    # Old converters gave biases the dimension of the kernels that they go with.
    fits = fits or shape == [count]
    _require(fits, f"tensor {name} of shape {shape} has {count} scales along dimension {axis}")
    zeros = quantization.zeroPoint
    _require(
        zeros is None or len(zeros) == count,
        f"tensor {name} has {count} scales and another number of zero points",
    )


def _stored_values(sparsity: Sparsity, shape: list[int], name: str) -> int:
    """The number of values that a sparse layout stores, after checking the layout."""
    levels = sparsity.dimMetadata or []
    order, blocks = _integers(sparsity.traversalOrder), _integers(sparsity.blockMap)
    rank = len(shape)
    fits = len(levels) == rank + len(blocks) and sorted(order) == list(range(len(levels)))
    fits = fits and all(axis in range(rank) for axis in blocks)
    _require(fits, f"the sparse layout of {name} does not fit its shape {shape}")
    sizes = list(shape)  # of the axes in blocks, then of the blocks
    for axis, index in zip(blocks, range(rank, len(levels))):
        size = levels[order.index(index)].denseSize
        _require(size > 0 and sizes[axis] % size == 0, f"the blocks of {name} do not fit its shape")
        sizes[axis] //= size
        sizes.append(size)
    count = 1
    for level, axis in zip(levels, order):
        if level.format != _SPARSE:
            _require(level.denseSize == sizes[axis], f"a dense level of {name} has a wrong size")
            count *= sizes[axis]
            continue
        segments, indices = numbers(level.arraySegments), numbers(level.arrayIndices)
        fits = (
            len(segments) == count + 1
            and segments[0] == 0
            and segments[-1] == len(indices)
            and bool(np.all(segments[1:] >= segments[:-1]))
            and (len(indices) == 0 or 0 <= indices.min() <= indices.max() < sizes[axis])
        )
        _require(fits, f"the segments and indices of {name} do not fit each other or its shape")
        count = len(indices)
    return count


def numbers(vector: IndexVector | None) -> np.ndarray:
    """The values of a segment or index vector, an empty array where there are none."""
    values = None if vector is None else vector.values
    return np.zeros(0, np.int32) if values is None else np.asarray(values)


def _integers(values: np.ndarray | None) -> list[int]:
    """One number for each dimension of a tensor, from a vector that may be absent."""
    if values is None:
        return []
    _require(len(values) <= _MOST_DIMENSIONS, f"a tensor has {len(values)} dimensions")
    return [int(value) for value in values]


def _require_indices(indices: np.ndarray | None, allowed: range, owner: str) -> None:
    values = np.zeros(0, np.int32) if indices is None else np.asarray(indices)
    inside = len(values) == 0 or (values.min() >= allowed.start and values.max() < allowed.stop)
    _require(bool(inside), f"{owner} names a tensor that is not there")


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)
