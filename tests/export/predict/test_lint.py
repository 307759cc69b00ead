"""Rows of the lint table: layers, multiply-adds, kernels, reasons; for any file."""

import json
import random

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from keras import layers

from tests.support.export.lint_models import (
    blocks,
    body,
    dense_file,
    head,
    image,
    parsed,
    pruned,
    row,
)
from tests.support.export.weight_readers import READERS, chained
from tfprune.export import lint
from tfprune.export.encode import layouts, sparse
from tfprune.export.encode.layouts import Layout
from tfprune.export.file import flatbuffer
from tfprune.export.file.subgraph import OPERATORS, TYPES, Subgraph
from tfprune.export.predict.linting import coverage
from tfprune.targets.target import MACHINES


def empty_graph():
    """A model without operators, to which tests add what they need."""
    model = schema.ModelT()
    model.version = 3
    model.buffers, model.operatorCodes = [schema.BufferT()], []
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = [], []
    graph.inputs = graph.outputs = np.array([], np.int32)
    model.subgraphs = [graph]
    return Subgraph(model, graph)


def fully_connected(weight, *, layout=None, densify=False):
    """A model of one FULLY_CONNECTED over that weight, encoded in a layout."""
    graph = empty_graph()
    x = graph.add_tensor((2, weight.shape[1]), TYPES.FLOAT32, name="x")
    y = graph.add_tensor((2, weight.shape[0]), TYPES.FLOAT32, name="y")
    index = graph.add_constant(weight, name="weight")
    if layout is not None:
        encoded = layouts.encode(weight, layout)
        tensor = graph.tensor(index)
        tensor.buffer = flatbuffer.add_buffer(graph.model, encoded.values)
        tensor.sparsity = layouts.parameters(encoded)
    if densify:
        dense = graph.add_tensor(weight.shape, graph.tensor(index).type, name="dense")
        graph.operators.append(graph.operator(OPERATORS.DENSIFY, [index], [dense]))
        index = dense
    options = schema.FullyConnectedOptionsT()
    made = graph.operator(OPERATORS.FULLY_CONNECTED, [x, index, -1], [y], options)
    graph.operators.append(made)
    graph.table.inputs, graph.table.outputs = np.array([x]), np.array([y])
    return graph.model


def only_row(model, target="arm64"):
    (layer,) = coverage(model, "test", MACHINES[target]).layers
    return layer


@pytest.mark.parametrize("target", ["arm64", "wasm", "x86"])
@pytest.mark.parametrize(
    ("kind", "layout", "kernel"),
    [
        (np.float32, Layout(1), "sparse rows"),
        (np.float32, Layout(1, 1, 4), "sparse 1x4"),
        (np.int8, Layout(1, 1, 16), "sparse 1x16"),
    ],
)
def test_native_layouts_run_sparsely_everywhere(kind, layout, kernel, target):
    weight = (10 * blocks((32, 64), 16, 0.8)).astype(kind)
    layer = only_row(fully_connected(weight, layout=layout), target)
    assert (layer.kernel, layer.blocker) == (kernel, "")
    assert layer.sparsity == pytest.approx(np.mean(weight == 0))
    assert layer.multiply_adds == 2 * weight.size


@pytest.mark.parametrize(
    ("kind", "layout", "text"),
    [
        (np.float32, Layout(1, 1, 16), "float32 weights in 1x16 blocks"),
        (np.int8, Layout(1, 1, 4), "int8 weights in 1x4 blocks"),
        (np.int8, Layout(1), "int8 weights in rows"),
        (np.float32, Layout(0), "float32 weights in this layout"),
        (np.float32, Layout(1, 0, 4), "float32 weights in this layout"),
    ],
)
def test_layouts_that_the_runtime_refuses_are_defects(kind, layout, text):
    weight = (10 * blocks((32, 64), 16, 0.8)).astype(kind)
    found = coverage(fully_connected(weight, layout=layout), "test", MACHINES["x86"])
    assert found.layers[0].kernel == "broken" and found.sparse_layers == 0
    assert found.defects == (f"breaks the file: the runtime refuses FULLY_CONNECTED with {text}",)


def test_a_densified_or_dense_weight_is_dense_with_the_reason():
    weight = blocks((32, 64), 4, 0.75)
    expanded = only_row(fully_connected(weight, layout=Layout(1, 1, 4), densify=True))
    assert expanded.kernel == "dense" and expanded.blocker.startswith("DENSIFY expands it: it")
    zeros = np.mean(weight == 0)
    few = "it has too few zeros for a sparse kernel to pay"
    assert only_row(fully_connected(weight)).blocker == f"stored dense, sparsity {zeros:.2f}: {few}"
    assert only_row(fully_connected(np.ones_like(weight))).blocker == "no zeros"


@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        (blocks((32, 64), 4, 0.95), "it is too small for a sparse kernel to pay"),
        (blocks((512, 512), 4, 0.95), "FULLY_CONNECTED skips zeros in its own sparse layouts"),
        (blocks((512, 512), 1, 0.9), "too few of its zeros fill blocks of 4 inputs"),
        (blocks((32, 64), 16, 0.95).astype(np.int8), "it is too small for a sparse kernel"),
        (blocks((32, 72), 8, 0.95).astype(np.int8), "72 inputs are no multiple of 16"),
    ],
    ids=["small", "large", "single", "small integers", "odd integers"],
)
def test_fully_connected_weights_say_why_no_sparse_kernel_would_pay(weight, reason):
    weight = np.where(weight != 0, 1, 0).astype(weight.dtype)
    assert f": {reason}" in only_row(fully_connected(weight)).blocker


def test_zeros_of_quantized_weights_are_where_the_zero_point_is():
    weight = np.array([[3, 3, 5, 0], [7, 7, 7, 3]], np.int8)
    model = fully_connected(weight)
    quantization = schema.QuantizationParametersT()
    model.subgraphs[0].tensors[2].quantization = quantization
    quantization.zeroPoint = np.array([3])
    assert only_row(model).sparsity == 3 / 8
    quantization.zeroPoint, quantization.quantizedDimension = np.array([3, 7]), 0
    assert only_row(model).sparsity == 5 / 8


def test_multiply_adds_are_counted_by_hand():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, strides=2, padding="same", name="plain")(inputs)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(x)
    x = layers.Conv2DTranspose(5, 2, strides=2, name="transpose")(x)
    x = layers.Dense(7, name="head")(layers.Flatten()(x))
    found = coverage(dense_file(keras.Model(inputs, x)).model, "test", MACHINES["arm64"])
    assert {layer.operator: layer.multiply_adds for layer in found.layers} == {
        "CONV_2D": 4 * 4 * 6 * 3 * 3 * 3,
        "DEPTHWISE_CONV_2D": 4 * 4 * 12 * 3 * 3,
        "TRANSPOSE_CONV": 4 * 4 * 12 * 5 * 2 * 2,
        "FULLY_CONNECTED": 8 * 8 * 5 * 7,
    }
    assert found.multiply_adds == sum(layer.multiply_adds for layer in found.layers)
    assert row(found, "plain").blocker == "3x3 convolution"
    assert row(found, "depthwise").blocker == "depthwise: dense by design"


def test_constant_matrices_are_layers_and_products_of_activations_a_note():
    graph = empty_graph()
    x = graph.add_tensor((3, 5, 8), TYPES.FLOAT32, name="x")
    y, z = (graph.add_tensor((3, 5, 4), TYPES.FLOAT32, name=name) for name in "yz")
    weight = graph.add_constant(np.ones((3, 8, 4), np.float32), name="weight")
    options = schema.BatchMatMulOptionsT()
    for inputs, output in (([x, weight], y), ([x, y], z)):
        graph.operators.append(graph.operator(OPERATORS.BATCH_MATMUL, inputs, [output], options))
    found = coverage(graph.model, "test", MACHINES["arm64"])
    assert [layer.multiply_adds for layer in found.layers] == [3 * 5 * 4 * 8]
    assert found.layers[0].blocker == "no sparse kernel for this operator"
    assert any("1 BATCH_MATMUL of two computed tensors" in note for note in found.notes)


@pytest.mark.parametrize("layer", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_loop_bodies_count_once_a_step(layer):
    model = keras.Sequential([keras.Input((7, 12)), layer(16)])
    found = coverage(dense_file(model).model, "test", MACHINES["x86"])
    kernels = [weight for weight in model.weights if weight.name.endswith("kernel")]
    assert found.multiply_adds == 7 * sum(int(np.prod(kernel.shape)) for kernel in kernels)
    assert all(row.graph > 0 for row in found.layers) and found.notes == ()


def test_a_loop_of_free_length_counts_one_step_and_says_so():
    model = keras.Sequential([keras.Input((None, 12)), layers.LSTM(16)])
    found = coverage(dense_file(model).model, "test", MACHINES["x86"])
    assert found.multiply_adds == 4 * 16 * (12 + 16)
    assert found.notes == ("A loop of unknown length is counted as one step.",)


def test_a_sparse_loop_body_is_covered():
    model = keras.Sequential([keras.Input((4, 128)), layers.LSTM(128)])
    cell = model.layers[0].cell
    for weight in (cell.kernel, cell.recurrent_kernel):
        weight.assign(blocks((512, 128), 4, 0.95).T)
    found = coverage(sparse.encode_model(dense_file(model).model)[0], "test", MACHINES["x86"])
    assert [layer.kernel for layer in found.layers] == ["sparse 1x4"] * 2
    assert found.sparse_share == 1.0 and found.blockers == {}


@pytest.fixture(scope="module")
def content():
    inputs = image()
    return dense_file(pruned(inputs, head(body(inputs)))).content


def test_lint_reads_a_file_and_goes_to_json(content, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    found = lint(path)
    assert row(found, "first").blocker == "no DENSIFY in the file"
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (values["sparse_multiply_adds"], values["sparse_share"]) == (0, 0.0)
    assert len(values["layers"]) == len(found.layers)
    assert sum(values["blockers"].values()) == len(found.layers)
    assert "first/kernel" in str(found) and "no DENSIFY in the file" in str(found)


@pytest.mark.parametrize("target", ["auto", "riscv", None])
def test_an_unknown_target_is_an_error(target):
    with pytest.raises(ValueError, match="`target` must be one of"):
        lint("any.tflite", target=target)


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected")
def test_an_int8_file_of_others_is_read(tmp_path):
    import tensorflow as tf

    inputs = image()
    model = pruned(inputs, head(body(inputs)))
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [tf.function(model).get_concrete_function(tf.TensorSpec((1, 16, 16, 3)))]
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    examples = np.random.default_rng(0).random((2, 1, 16, 16, 3), np.float32)
    converter.representative_dataset = lambda: ([example] for example in examples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    path = tmp_path / "int8.tflite"
    path.write_bytes(converter.convert())
    found = lint(path)
    assert [layer.kernel for layer in found.layers] == ["dense"] * 5
    products = [layer for layer in found.layers if layer.shape[1:3] == (1, 1)]
    assert {layer.blocker for layer in products} == {"does not compute in float"}
    assert all(0.85 < layer.sparsity < 0.95 for layer in products)


def test_damaged_content_is_read_or_is_a_value_error(content):
    rng = random.Random(0)
    encoded = flatbuffer.pack(sparse.encode_model(parsed(content))[0])
    outcomes = set()
    for _ in range(300):
        damaged = bytearray(rng.choice([content, encoded]))
        for _ in range(rng.choice([1, 4, 16])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            str(coverage(parsed(bytes(damaged)), "damaged", MACHINES[rng.choice(["arm64", "x86"])]))
            outcomes.add("read")
        except ValueError as error:
            assert "damaged" in str(error) or "`path`" in str(error)
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_graphs_that_run_each_other_are_an_error():
    model = fully_connected(np.ones((4, 4), np.float32))
    model.subgraphs.append(schema.SubGraphT())
    inner = model.subgraphs[1]
    inner.tensors, inner.inputs, inner.outputs = [], np.array([]), np.array([])
    options = schema.WhileOptionsT()
    options.condSubgraphIndex = options.bodySubgraphIndex = 1
    inner.operators = [Subgraph(model, inner).operator(OPERATORS.WHILE, [], [], options)]
    with pytest.raises(ValueError, match="damaged.*graph 1 calls itself"):
        coverage(model, "circle", MACHINES["arm64"])


@pytest.mark.parametrize("target", MACHINES)
@pytest.mark.parametrize("reader", ["GATHER", "CONV_3D", "CONV_2D, tanh"])
def test_constants_that_xnnpack_leaves_unwritten_are_a_defect(reader, target):
    found = coverage(chained(reader, "int8_weights"), "test", MACHINES[target])
    (defect,) = found.defects
    assert reader.split(",")[0] in defect and "leaves unwritten" in defect
    fine = coverage(chained("CONV_2D", "int8_weights"), "test", MACHINES[target])
    assert fine.defects == ()


def test_sparse_tensors_are_said_to_be_not_for_tflite_micro():
    dense = READERS["FULLY_CONNECTED"]()
    encoded, _ = sparse.encode_model(dense)
    notes = [coverage(model, "test", MACHINES["x86"]).notes for model in (dense, encoded)]
    assert notes[0] == () and any("ot for tflite-micro" in note for note in notes[1])
