"""Sparse layouts: what they cost, and that the runtime reads them back exactly."""

import itertools

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.encode import layouts
from tfprune.export.encode.layouts import Layout
from tfprune.export.file import flatbuffer
from tfprune.export.run import child


def densify_file(encoded, shape):
    """A file whose only operator expands the encoded constant."""
    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DENSIFY
    model.operatorCodes = [code]
    code.version = 1
    constant, dense = schema.TensorT(), schema.TensorT()
    for tensor in (constant, dense):
        tensor.shape = np.array(shape, np.int32)
        tensor.type = schema.TensorType.FLOAT32
    constant.name, dense.name = "constant", "dense"
    constant.buffer = flatbuffer.add_buffer(model, encoded.values)
    constant.sparsity = layouts.parameters(encoded)
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = np.array([0], np.int32), np.array([1], np.int32)
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = [constant, dense], [operator]
    graph.inputs, graph.outputs = np.array([], np.int32), np.array([1], np.int32)
    model.subgraphs = [graph]
    return flatbuffer.pack(model)


def layouts_of(shape):
    rank = len(shape)
    yield from (Layout(last=axis) for axis in range(rank))
    for axis, block in itertools.product({0, rank - 1}, (2, 4)):
        if shape[axis] % block == 0:
            yield Layout(last=rank - 1, block_axis=axis, block=block)


@pytest.mark.parametrize("shape", [(8, 12), (4, 3, 3, 8), (1, 5, 5, 12), (4, 1, 1, 8), (300, 4)])
@pytest.mark.parametrize("sparsity", [0.0, 0.6, 1.0])
def test_the_runtime_expands_every_layout_bit_for_bit(shape, sparsity, tmp_path):
    rng = np.random.default_rng(0)
    kept = rng.random(shape) >= sparsity
    weight = np.where(kept, rng.standard_normal(shape), 0).astype(np.float32)
    for layout in layouts_of(shape):
        encoded = layouts.encode(weight, layout)
        path = tmp_path / "weight.tflite"
        path.write_bytes(densify_file(encoded, shape))
        (found,) = child.run(child.load(str(path), kernels=child.OWN_KERNELS), [])
        assert found.tobytes() == weight.tobytes(), layout


def test_rows_store_segments_indices_and_values_by_hand():
    weight = np.array([[0, 5, 0, 7], [0, 0, 0, 0], [2, 0, 0, 0]], np.float32)
    encoded = layouts.encode(weight, Layout(last=1))
    np.testing.assert_array_equal(encoded.segments, [0, 2, 2, 3])
    np.testing.assert_array_equal(encoded.indices, [1, 3, 0])
    np.testing.assert_array_equal(encoded.values, [5, 7, 2])
    assert encoded.nbytes == 3 * 4 + 3 + 4


def test_blocks_are_kept_whole_with_their_zeros():
    weight = np.array([[0, 5, 0, 0], [0, 0, 3, 0]], np.float32)
    encoded = layouts.encode(weight, Layout(last=1, block_axis=1, block=2))
    np.testing.assert_array_equal(encoded.values, [0, 5, 3, 0])
    np.testing.assert_array_equal(encoded.indices, [0, 1])


@pytest.mark.parametrize("size", [256, 257, 65536, 65537])
def test_indices_take_the_narrowest_type_that_holds_them(size):
    weight = np.zeros((1, size), np.float32)
    weight[0, -1] = 1
    width = 1 if size <= 256 else 2 if size <= 65536 else 4
    assert layouts.encode(weight, Layout(last=1)).nbytes == 4 + width + 2


def test_the_smallest_layout_is_the_smallest_of_all():
    rng = np.random.default_rng(0)
    for block in (1, 2, 4, 16):
        kept = np.repeat(rng.random((64 // block, 3, 3, 32)) < 0.1, block, axis=0)
        weight = (kept * rng.standard_normal(kept.shape)).astype(np.float32)
        best = layouts.smallest(weight)
        every = [layouts.encode(weight, layout).nbytes for layout in layouts_of(weight.shape)]
        assert best.nbytes <= min(every)
        assert best.layout.block == block
