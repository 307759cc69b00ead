"""Reading constants back: sparse tensors, and what DENSIFY and DEQUANTIZE make of them.

A sparse tensor is walked level by level in TACO form: a dense level visits every position, a
compressed one those that its indices list, as many for each parent as its segments say. Any level
may be compressed, the inside of a block too.
"""

import collections
import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file import flatbuffer, integrity
from tfprune.export.file.subgraph import OPERATORS, TYPES, Subgraph, subgraphs
from tfprune.export.file.tables import Level, Model, Operator, Quantization, Sparsity

# Dense elements per stored number: damaged sizes must not allocate what no real file describes.
_LARGEST_EXPANSION = 1024
_ALWAYS_ALLOWED = 1 << 24

_EXPANDING = (OPERATORS.DENSIFY, OPERATORS.DEQUANTIZE)


@dataclasses.dataclass(frozen=True)
class _Level:
    """One level of a walk: its size and, where it is compressed, segments and indices."""

    size: int
    segments: np.ndarray | None = None
    indices: np.ndarray | None = None


def decode(
    parameters: Sparsity, values: np.ndarray, shape: Sequence[int], *, name: str = ""
) -> np.ndarray:
    """Expands a sparse tensor.

    Args:
        parameters: Its `SparsityParametersT`.
        values: Its stored values, flat.
        shape: Its dense shape.
        name: What error messages call it.

    Returns:
        The dense tensor; what is not stored is 0.

    Raises:
        ValueError: If the parts do not fit each other.
    """
    try:
        return _decode(parameters, values, tuple(int(size) for size in shape))
    except (TypeError, AttributeError, IndexError, OverflowError, MemoryError, ValueError) as error:
        raise ValueError(
            "`parameters` must describe the stored values and the shape of a sparse tensor. "
            f"Received: tensor {name!r}, shape {tuple(shape)}, {len(values)} values ({error})."
        ) from error


def _decode(parameters: Sparsity, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    rank = len(shape)
    order = integers(parameters.traversalOrder)
    blocks = integers(parameters.blockMap)
    levels = parameters.dimMetadata or []
    _require(sorted(order) == list(range(rank + len(blocks))), f"traversal order {order}")
    _require(len(levels) == len(order), f"{len(levels)} levels for the traversal order {order}")
    _require(len(set(blocks)) == len(blocks), f"block map {blocks}")
    _require(all(0 <= axis < rank for axis in blocks), f"block map {blocks}")
    sizes = _sizes(shape, order, blocks, [level.denseSize for level in levels])
    walk = [_level(level, sizes[axis]) for level, axis in zip(levels, order)]
    _check_counts(walk, len(values), math.prod(shape))
    dense = np.zeros(math.prod(shape), values.dtype)
    dense[_offsets(walk)] = values
    natural = dense.reshape([sizes[axis] for axis in order]).transpose(np.argsort(order))
    # Each block axis moves right behind the axis that it divides.
    axes = [
        part
        for axis in range(rank)
        for part in ([axis, rank + blocks.index(axis)] if axis in blocks else [axis])
    ]
    return natural.transpose(axes).reshape(shape)


def _sizes(
    shape: tuple[int, ...], order: list[int], blocks: list[int], stored: list[int]
) -> list[int]:
    """The size of every axis, those inside blocks last.

    A compressed level need not store its size. That of a block then follows from the number of
    blocks, and that of any other axis from the shape.
    """
    sizes = list(shape)
    for number, axis in enumerate(blocks):
        block = stored[order.index(len(shape) + number)]
        if block <= 0:
            count = stored[order.index(axis)]
            block = shape[axis] // count if count > 0 else 0
        _require(block > 0 and shape[axis] % block == 0, f"blocks of {block} on axis {axis}")
        sizes[axis] //= block
        sizes.append(block)
    return sizes


def _level(level: Level, size: int) -> _Level:
    if level.format == schema.DimensionType.DENSE:
        _require(level.denseSize == size, f"a dense level of {level.denseSize}, expected {size}")
        return _Level(size)
    _require(level.format == schema.DimensionType.SPARSE_CSR, f"level format {level.format}")
    segments, indices = (
        integrity.numbers(vector).astype(np.int64).ravel()
        for vector in (level.arraySegments, level.arrayIndices)
    )
    return _Level(size, segments, indices)


def _check_counts(walk: list[_Level], values: int, elements: int) -> None:
    """Raises ValueError where levels do not fit each other, before anything large is made."""
    count, stored = 1, values
    for level in walk:
        if level.segments is None or level.indices is None:
            count *= level.size
            continue
        segments, indices = level.segments, level.indices
        _require(len(segments) == count + 1, f"{len(segments)} segments for {count} rows")
        _require(segments[0] == 0, "segments that do not begin at 0")
        _require(bool(np.all(np.diff(segments) >= 0)), "segments that decrease")
        _require(segments[-1] == len(indices), f"{len(indices)} indices, {segments[-1]} expected")
        inside = len(indices) == 0 or (indices.min() >= 0 and indices.max() < level.size)
        _require(bool(inside), f"indices outside a level of {level.size}")
        count = len(indices)
        stored += len(segments) + len(indices)
    _require(count == values, f"levels for {count} values")
    allowed = max(_ALWAYS_ALLOWED, _LARGEST_EXPANSION * stored)
    _require(0 <= elements <= allowed, f"{elements} elements from {stored} stored numbers")


def _offsets(walk: list[_Level]) -> np.ndarray:
    """Where each stored value belongs in the dense array, in the order of the walk."""
    offsets = np.zeros(1, np.int64)
    for level in walk:
        if level.segments is None or level.indices is None:
            inside = np.arange(level.size)
            offsets = (offsets[:, None] * level.size + inside).ravel()
        else:
            offsets = np.repeat(offsets, np.diff(level.segments)) * level.size + level.indices
    return offsets


def integers(vector: np.ndarray | None) -> list[int]:
    """The numbers of a vector; none of one that is absent."""
    return [] if vector is None else [int(value) for value in vector]


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


class Constants:
    """The constants of one subgraph, DENSIFY and DEQUANTIZE of constants among them.

    Args:
        subgraph: The subgraph. It must not change while this object is in use.
    """

    def __init__(self, subgraph: Subgraph) -> None:
        self._subgraph = subgraph
        self._made_by: dict[int, Operator] = {}
        self._zeros: dict[int, int | None] = {}
        for operator in subgraph.operators:
            if subgraph.code(operator) in _EXPANDING and int(operator.inputs[0]) in self:
                self._made_by[int(operator.outputs[0])] = operator

    def __contains__(self, index: int) -> bool:
        if index < 0:
            return False
        data = self._subgraph.model.buffers[self._subgraph.tensor(index).buffer].data
        return index in self._made_by or (data is not None and len(data) > 0)

    def source(self, index: int) -> tuple[int, tuple[int, ...]]:
        """The stored tensor behind a constant, and the operators that expand it, in their order."""
        steps: list[int] = []
        while index in self._made_by:
            operator = self._made_by[index]
            steps.insert(0, self._subgraph.code(operator))
            index = int(operator.inputs[0])
        return index, tuple(steps)

    def is_expanded(self, operator: Operator) -> bool:
        """Whether an operator only expands a constant, once, when the file is loaded."""
        outputs = [int(index) for index in operator.outputs]
        return len(outputs) == 1 and self._made_by.get(outputs[0]) is operator

    def zeros(self, index: int) -> int | None:
        """The number of zeros in a constant; None for types that are not read."""
        source, _ = self.source(index)
        if source not in self._zeros:
            found = self.nonzero(source)
            self._zeros[source] = None if found is None else int(np.sum(~found))
        return self._zeros[source]

    def nonzero(self, index: int) -> np.ndarray | None:
        """Where a constant is not zero, in its shape; None for types that are not read."""
        source, _ = self.source(index)
        values = _dense(self._subgraph, source)
        zero = _zero_point(self._subgraph.tensor(source).quantization, values)
        return None if values is None else np.asarray(values != zero)


def read_between(model: Model) -> dict[int, int]:
    """What is read until a weight of FULLY_CONNECTED is read again, were all such weights dense.

    Returns:
        Its buffer -> bytes: those of the loop that it is in, of all weights for one outside; its
        own for one that several operators there read, as the steps of an unrolled layer do.
    """
    sizes: list[dict[int, int]] = []  # of each subgraph: buffer -> bytes
    readers = collections.Counter[int]()
    for subgraph in subgraphs(model):
        constants, own = Constants(subgraph), dict[int, int]()
        for operator in subgraph.operators:
            weight = int(operator.inputs[1]) if _multiplies(subgraph, operator) else -1
            if weight in constants:
                wide = 4 if subgraph.tensor(weight).type == TYPES.FLOAT32 else 1
                buffer = subgraph.tensor(constants.source(weight)[0]).buffer
                own[buffer] = wide * math.prod(subgraph.shape(weight))
                readers[buffer] += 1
        sizes.append(own)
    main, *loops = sizes
    everything = sum({buffer: size for own in sizes for buffer, size in own.items()}.values())
    found = {buffer: size if readers[buffer] > 1 else everything for buffer, size in main.items()}
    return found | {buffer: sum(own.values()) for own in loops for buffer in own}


def _multiplies(subgraph: Subgraph, operator: Operator) -> bool:
    return subgraph.code(operator) == OPERATORS.FULLY_CONNECTED


def _dense(subgraph: Subgraph, index: int) -> np.ndarray | None:
    """A stored tensor in its shape."""
    tensor = subgraph.tensor(index)
    values = flatbuffer.constant(subgraph.model, tensor)
    if values is None or tensor.sparsity is None:
        return None if values is None else values.reshape(subgraph.shape(index))
    return decode(tensor.sparsity, values, subgraph.shape(index), name=subgraph.name(index))


def _zero_point(quantization: Quantization | None, values: np.ndarray | None) -> np.ndarray:
    """The stored number that means 0, in a shape that broadcasts against `values`."""
    if values is None or quantization is None or quantization.zeroPoint is None:
        return np.array(0)
    points = np.asarray(quantization.zeroPoint)
    axis = quantization.quantizedDimension
    if points.size <= 1 or not 0 <= axis < values.ndim or values.shape[axis] != points.size:
        return points[:1] if points.size else np.array(0)
    return points.reshape([-1 if place == axis else 1 for place in range(values.ndim)])
