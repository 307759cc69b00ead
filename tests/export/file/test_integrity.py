"""Files that parse but contradict themselves, and data that lies outside the flatbuffer."""

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.support.export import tflite_files
from tfprune.export import inspect_tflite
from tfprune.export.encode.layouts import Layout
from tfprune.export.file import flatbuffer
from tfprune.export.file.subgraph import TYPES
from tfprune.export.run import runtime

WEIGHT = np.arange(32, dtype=np.float32).reshape(4, 8) * (np.arange(8) % 8 >= 4)
BLOCKS = Layout(last=1, block_axis=1, block=4)


def dense(change):
    model = tflite_files.linear(WEIGHT)
    change(model, model.subgraphs[0], model.subgraphs[0].tensors[2])
    return model


def sparse(change):
    model = tflite_files.expanding(WEIGHT, BLOCKS)
    change(model.subgraphs[0].tensors[0].sparsity)
    return model


def quantized(count, axis, zero_points=None):
    parameters = schema.QuantizationParametersT()
    parameters.scale = np.ones(count, np.float32)
    parameters.quantizedDimension = axis
    parameters.zeroPoint = np.zeros(zero_points or count, np.int64)
    return parameters


def assign(name, value, place=None):
    """A change that sets an attribute of its last argument, or of something inside that."""

    def change(*objects):
        target = objects[-1] if place is None else place(*objects)
        setattr(target, name, np.array(value, np.int32) if isinstance(value, list) else value)

    return change


DENSE = {
    "no code": (assign("operatorCodes", [], lambda m, g, t: m), "names a code"),
    "graph input": (assign("inputs", [9], lambda m, g, t: g), "a graph names a tensor"),
    "graph output": (assign("outputs", [-1], lambda m, g, t: g), "a graph names a tensor"),
    "operator": (assign("inputs", [0, 7], lambda m, g, t: g.operators[0]), "an operator names"),
    "operator output": (assign("outputs", [-2], lambda m, g, t: g.operators[0]), "an operator nam"),
    "buffer": (assign("buffer", 5), "names a buffer"),
    "negative shape": (assign("shape", [-4, -8]), "has the shape"),
    "huge shape": (assign("shape", [1 << 30] * 8), "needs .* values"),
    "other shape": (assign("shape", [4, 9]), "needs 36 values of 32 bits and has 128"),
    "half a byte too much": (assign("type", TYPES.INT4), "needs 32 values of 4 bits and has 128"),
    "many dimensions": (assign("shape", [1] * 65), "65 dimensions"),
    "scales": (assign("quantization", quantized(3, 0)), "3 scales along dimension 0"),
    "quantized dimension": (assign("quantization", quantized(4, 2)), "along dimension 2"),
    "zero points": (assign("quantization", quantized(4, 0, 3)), "number of zero points"),
    "no graph": (assign("subgraphs", [], lambda m, g, t: m), "no subgraph"),
}
SPARSE = {
    "no levels": (assign("dimMetadata", None), "does not fit its shape"),
    "order": (assign("traversalOrder", [0, 0, 2]), "does not fit its shape"),
    "no order": (assign("traversalOrder", None), "does not fit its shape"),
    "block axis": (assign("blockMap", [2]), "does not fit its shape"),
    "block size": (assign("denseSize", 3, lambda s: s.dimMetadata[2]), "blocks of"),
    "no block": (assign("denseSize", 0, lambda s: s.dimMetadata[2]), "blocks of"),
    "rows": (assign("denseSize", 1 << 30, lambda s: s.dimMetadata[0]), "wrong size"),
    "no segments": (assign("arraySegments", None, lambda s: s.dimMetadata[1]), "segments"),
    "segments": (
        assign("values", np.array([0, 3, 2, 3, 4], np.uint8), lambda s: level(s).arraySegments),
        "segments",
    ),
    "indices": (
        assign("values", np.array([1, 1, 2, 1], np.uint8), lambda s: level(s).arrayIndices),
        "segments and indices",
    ),
}


def level(sparsity):
    return sparsity.dimMetadata[1]


@pytest.mark.parametrize("make", [dense, sparse])
def test_the_files_that_the_cases_damage_are_whole(make, tmp_path):
    path = tflite_files.write(tmp_path, make(lambda *objects: None))
    assert len(inspect_tflite(path).constants) == 1


@pytest.mark.parametrize(
    ("make", "change", "found"),
    [
        pytest.param(make, *case, id=name)
        for make, cases in ((dense, DENSE), (sparse, SPARSE))
        for name, case in cases.items()
    ],
)
def test_a_contradiction_is_one_error_that_says_where(make, change, found, tmp_path):
    path = tflite_files.write(tmp_path, make(change))
    with pytest.raises(ValueError, match=found) as error:
        inspect_tflite(path)
    assert repr(path) in str(error.value) and "damaged" in str(error.value)


def test_absent_vectors_are_read_as_empty_ones():
    model = tflite_files.linear(WEIGHT)
    graph = model.subgraphs[0]
    graph.inputs = graph.operators = None
    found = flatbuffer.parse(flatbuffer.pack(model), "model").subgraphs[0]
    assert found.operators == [] and found.inputs.tolist() == []


def test_names_that_are_not_utf8_are_shown(tmp_path):
    path = tflite_files.write(tmp_path, dense(assign("name", b"\xff\xfeweight")))
    assert inspect_tflite(path).constants[0].name.endswith("weight")


def behind(size_error=0):
    """A file whose weights lie behind the flatbuffer, as those of more than 2 GB do."""
    model = tflite_files.linear(WEIGHT)
    buffer = model.buffers[-1]
    buffer.data, buffer.offset, buffer.size = None, 2, 128
    place = -(-len(flatbuffer.pack(model)) // 16) * 16
    buffer.offset, buffer.size = place, 128 + size_error
    return flatbuffer.pack(model).ljust(place, b"\0") + WEIGHT.tobytes()


def test_weights_behind_the_flatbuffer_are_read_as_the_runtime_reads_them(tmp_path):
    path = tmp_path / "large.tflite"
    path.write_bytes(behind())
    source = np.ones((1, 8), np.float32)
    found = runtime.outputs(path, [source], kernels=runtime.KERNELS[1:])
    np.testing.assert_allclose(found[runtime.KERNELS[1]][0], source @ WEIGHT.T)
    model, _ = flatbuffer.read(path)
    stored = flatbuffer.constant(model, model.subgraphs[0].tensors[2])
    np.testing.assert_array_equal(stored, WEIGHT.ravel())
    again = flatbuffer.parse(flatbuffer.pack(model), "again")
    np.testing.assert_array_equal(again.buffers[-1].data, model.buffers[-1].data)


def test_weights_that_would_lie_behind_the_end_are_an_error():
    with pytest.raises(ValueError, match="truncated or damaged"):
        flatbuffer.parse(behind(size_error=1), "large")


def shared(graphs, tensors, name_length):
    """A file in which one graph and one tensor, with one long name, stand many times."""
    builder = flatbuffers.Builder()
    name = builder.CreateString("x" * name_length)
    schema.TensorStart(builder)
    schema.TensorAddName(builder, name)
    tensor = schema.TensorEnd(builder)
    tensors_vector = repeated(builder, schema.SubGraphStartTensorsVector, tensor, tensors)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors_vector)
    graph = schema.SubGraphEnd(builder)
    graphs_vector = repeated(builder, schema.ModelStartSubgraphsVector, graph, graphs)
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, graphs_vector)
    builder.Finish(schema.ModelEnd(builder), flatbuffer.FILE_IDENTIFIER)
    return bytes(builder.Output())


def repeated(builder, start, table, count):
    start(builder, count)
    for _ in range(count):
        builder.PrependUOffsetTRelative(table)
    return builder.EndVector()


@pytest.mark.parametrize(
    ("sizes", "found"),
    [
        ((20_000, 20_000, 1), "for which the file has no room"),
        ((1, 20_000, 1_000_000), "many share its bytes"),
    ],
)
def test_shared_tables_and_names_do_not_multiply(sizes, found):
    with pytest.raises(ValueError, match=found):
        flatbuffer.parse(shared(*sizes), "small")
