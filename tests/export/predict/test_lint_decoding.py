"""Sparse tensors read back: every layout, and damaged ones."""

import itertools

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.encode import layouts
from tfprune.export.encode.layouts import Layout
from tfprune.export.file.decoding import decode


def dense(size):
    level = schema.DimensionMetadataT()
    level.format, level.denseSize = schema.DimensionType.DENSE, size
    return level


def compressed(segments, indices, size=0):
    level = schema.DimensionMetadataT()
    level.format, level.denseSize = schema.DimensionType.SPARSE_CSR, size
    level.arraySegments, level.arrayIndices = schema.Int32VectorT(), schema.Uint8VectorT()
    level.arraySegments.values = np.array(segments, np.int32)
    level.arrayIndices.values = np.array(indices, np.uint8)
    return level


def parameters(order, levels, blocks=()):
    made = schema.SparsityParametersT()
    made.traversalOrder = np.array(order, np.int32)
    made.blockMap = np.array(blocks, np.int32)
    made.dimMetadata = levels
    return made


def layouts_of(shape):
    rank = len(shape)
    yield from (Layout(last=axis) for axis in range(rank))
    for axis, block in itertools.product(range(rank), (2, 4)):
        if shape[axis] % block == 0:
            yield Layout(last=rank - 1, block_axis=axis, block=block)


@pytest.mark.parametrize("shape", [(8, 12), (4, 3, 4, 8), (1, 5, 5, 12), (4, 1, 1, 8), (6,)])
@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int8])
def test_decoding_undoes_every_encoding_bit_for_bit(shape, kind):
    rng = np.random.default_rng(0)
    for sparsity in (0.0, 0.6, 1.0):
        weight = (rng.integers(-9, 9, shape) * (rng.random(shape) >= sparsity)).astype(kind)
        for layout in layouts_of(shape):
            encoded = layouts.encode(weight, layout)
            found = decode(layouts.parameters(encoded), encoded.values, shape)
            assert found.dtype == weight.dtype
            np.testing.assert_array_equal(found, weight, err_msg=str(layout))


@pytest.mark.parametrize("size", [0, 256])
def test_the_inside_of_blocks_may_be_compressed(size):
    rng = np.random.default_rng(0)
    weight = (rng.random((3, 512)) * (rng.random((3, 512)) < 0.1)).astype(np.float32)
    rows = weight.reshape(6, 256)
    segments = np.concatenate([[0], np.cumsum(np.count_nonzero(rows, axis=1))])
    levels = [dense(3), dense(2), compressed(segments, np.nonzero(rows)[1], size)]
    found = decode(parameters([0, 1, 2], levels, [1]), rows[rows != 0], (3, 512))
    np.testing.assert_array_equal(found, weight)


def test_several_levels_may_be_compressed():
    weight = np.array([[0, 0, 0], [4, 0, 5], [0, 0, 0], [0, 6, 0]], np.float32)
    levels = [compressed([0, 2], [1, 3]), compressed([0, 2, 3], [0, 2, 1])]
    found = decode(parameters([0, 1], levels), np.array([4, 5, 6], np.float32), (4, 3))
    np.testing.assert_array_equal(found, weight)


def broken_cases():
    good = [0, 1, 2], [0, 1]
    yield "order", parameters([0, 0], [dense(2), compressed(*good)])
    yield "missing level", parameters([0, 1], [dense(2)])
    yield "dense size", parameters([0, 1], [dense(3), compressed(*good)])
    yield "row count", parameters([0, 1], [dense(2), compressed([0, 2], [0, 1])])
    yield "first segment", parameters([0, 1], [dense(2), compressed([1, 1, 2], [0, 1])])
    yield "decreasing", parameters([0, 1], [dense(2), compressed([0, 3, 2], [0, 1])])
    yield "last segment", parameters([0, 1], [dense(2), compressed([0, 1, 3], [0, 1])])
    yield "index", parameters([0, 1], [dense(2), compressed([0, 1, 2], [0, 4])])
    yield "values", parameters([0, 1], [dense(2), compressed([0, 1, 3], [0, 1, 2])])
    yield "block axis", parameters([0, 1, 2], [dense(2), compressed(*good), dense(1)], [7])
    yield "block size", parameters([0, 1, 2], [dense(2), compressed(*good), dense(3)], [1])
    yield "no vectors", parameters([0, 1], [dense(2), schema.DimensionMetadataT()])
    nothing = compressed(*good)
    nothing.arraySegments = None
    yield "no segments", parameters([0, 1], [dense(2), nothing])


@pytest.mark.parametrize(("what", "damaged"), list(broken_cases()))
def test_damaged_metadata_is_an_error_that_names_the_tensor(what, damaged):
    with pytest.raises(ValueError, match="`parameters` must describe .*'kernel'"):
        decode(damaged, np.ones(2, np.float32), (2, 4), name="kernel")


def test_a_wild_shape_is_refused_before_it_is_allocated():
    wild = parameters([0, 1], [dense(2), compressed([0, 1, 2], [0, 1])])
    with pytest.raises(ValueError, match="elements from"):
        decode(wild, np.ones(2, np.float32), (2, 2**40), name="kernel")
