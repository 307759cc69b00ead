"""Sparse layouts of one weight, in the TACO form that TFLite stores.

A layout is a traversal order of the axes in which every level is dense but one, which is
compressed: `segments` say where each row begins in `indices`, and `indices` say at which position
of the compressed level each kept element, or block of elements, belongs. Blocks run along one
axis and are stored whole, zeros included.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.tables import IndexVector, Level, Sparsity

_DENSIFY_BLOCKS = (2, 4, 8, 16)


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a weight is walked.

    Attributes:
        last: The compressed axis.
        block_axis: The axis along which blocks run.
        block: Elements in a block, 1 for none.
    """

    last: int
    block_axis: int = 0
    block: int = 1


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A weight in one layout.

    Attributes:
        layout: The layout.
        sizes: Sizes of the dense levels outside the compressed one.
        segments: Where each row begins in `indices`, one more than there are rows.
        indices: Positions of the kept blocks in the compressed level.
        values: The kept blocks, flat.
        rank: Number of axes of the dense weight.
    """

    layout: Layout
    sizes: tuple[int, ...]
    segments: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    rank: int

    @property
    def nbytes(self) -> int:
        """Bytes of values, segments and indices."""
        return self.values.nbytes + _narrow(self.segments).nbytes + _narrow(self.indices).nbytes


def encode(weight: np.ndarray, layout: Layout) -> Encoded:
    """Encodes a weight in a layout.

    Args:
        weight: The dense weight, any rank of at least 1.
        layout: The layout; its block divides the size of its axis.

    Returns:
        The encoded weight. Every nonzero value is kept as it is.
    """
    cells = _cells(weight, layout)
    kept = cells.any(axis=-1)
    rows = kept.reshape(-1, kept.shape[-1])
    return Encoded(
        layout=layout,
        sizes=kept.shape[:-1],
        segments=np.concatenate([[0], np.cumsum(np.count_nonzero(rows, axis=1))]),
        indices=np.nonzero(rows)[1],
        values=cells[kept].ravel(),
        rank=weight.ndim,
    )


def smallest(weight: np.ndarray) -> Encoded:
    """The layout with the fewest bytes among rows along any axis and blocks along the outer two.

    Args:
        weight: The dense weight, any rank of at least 1.

    Returns:
        The encoded weight.
    """
    return encode(weight, min(_layouts(weight.shape), key=lambda layout: _cost(weight, layout)))


def parameters(encoded: Encoded) -> Sparsity:
    """The schema's `SparsityParametersT` of an encoded weight."""
    layout = encoded.layout
    order = _order(encoded.rank, layout)
    blocks = [layout.block_axis] if layout.block > 1 else []
    compressed: Level = schema.DimensionMetadataT()
    compressed.format = schema.DimensionType.SPARSE_CSR
    compressed.denseSize = 0
    compressed.arraySegmentsType, compressed.arraySegments = _vector(encoded.segments)
    compressed.arrayIndicesType, compressed.arrayIndices = _vector(encoded.indices)
    result: Sparsity = schema.SparsityParametersT()
    result.traversalOrder = np.array(order + [encoded.rank] * len(blocks), np.int32)
    result.blockMap = np.array(blocks, np.int32)
    result.dimMetadata = [_dense_level(size) for size in encoded.sizes] + [compressed]
    result.dimMetadata += [_dense_level(layout.block) for _ in blocks]
    return result


def _order(rank: int, layout: Layout) -> list[int]:
    return [axis for axis in range(rank) if axis != layout.last] + [layout.last]


def _cells(weight: np.ndarray, layout: Layout) -> np.ndarray:
    """The weight as (dense levels..., compressed level, elements of a block)."""
    axis, block = layout.block_axis, layout.block
    shape = weight.shape
    split = weight.reshape(shape[:axis] + (shape[axis] // block, block) + shape[axis + 1 :])
    blocks = np.moveaxis(split, axis + 1, -1)
    return blocks.transpose(_order(weight.ndim, layout) + [weight.ndim])


def _layouts(shape: tuple[int, ...]) -> Iterator[Layout]:
    """Every layout worth trying: an axis of size 1 cannot be compressed to anything."""
    rank = len(shape)
    for axis in range(rank):
        if shape[axis] > 1 or axis == rank - 1:
            yield Layout(last=axis)
    for axis in sorted({0, rank - 1}):
        for block in _DENSIFY_BLOCKS:
            if shape[axis] % block == 0 and shape[axis] > block:
                yield Layout(last=rank - 1, block_axis=axis, block=block)


def _cost(weight: np.ndarray, layout: Layout) -> int:
    """The `nbytes` of `encode(weight, layout)`, without gathering the values."""
    kept = _cells(weight, layout).any(axis=-1)
    count = int(np.count_nonzero(kept))
    segments = kept.size // kept.shape[-1] + 1
    values = count * layout.block * weight.itemsize
    return int(values + count * _width(kept.shape[-1] - 1) + segments * _width(count))


def _width(largest: int) -> int:
    return 1 if largest < 1 << 8 else 2 if largest < 1 << 16 else 4


def _narrow(numbers: np.ndarray) -> np.ndarray:
    """The numbers in the narrowest of the three integer types that the schema offers."""
    types = {1: np.uint8, 2: np.uint16, 4: np.int32}
    return numbers.astype(types[_width(int(numbers.max(initial=0)))])


def _vector(numbers: np.ndarray) -> tuple[int, IndexVector]:
    values = _narrow(numbers)
    kind, vector = {
        1: (schema.SparseIndexVector.Uint8Vector, schema.Uint8VectorT()),
        2: (schema.SparseIndexVector.Uint16Vector, schema.Uint16VectorT()),
        4: (schema.SparseIndexVector.Int32Vector, schema.Int32VectorT()),
    }[values.itemsize]
    vector.values = values
    return kind, vector


def _dense_level(size: int) -> Level:
    level: Level = schema.DimensionMetadataT()
    level.format = schema.DimensionType.DENSE
    level.denseSize = int(size)
    return level
