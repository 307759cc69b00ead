"""What lint counts, and how it names what it does not, in files that others made."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.support.cli_runner import json_of
from tests.support.export import tflite_files
from tests.support.export.tflite_files import empty_graph
from tests.support.export.weight_readers import READERS
from tfprune.export import inspect_tflite, lint
from tfprune.export.file.subgraph import OPERATORS, TYPES

STEPS, INPUTS, UNITS, OUTPUTS, MEMORY = 5, 8, 4, 3, 6


def fused(code, shape, weights, count):
    """A model of one operator with `count` inputs, of which the first is computed."""
    graph = empty_graph()
    source = graph.add_tensor(shape, TYPES.FLOAT32, name="source")
    target = graph.add_tensor((*shape[:-1], UNITS), TYPES.FLOAT32, name="target")
    inputs = [source] + [-1] * (count - 1)
    for place, size in weights.items():
        values = np.ones(size, np.float32)
        values.flat[::2] = 0
        inputs[place] = graph.add_constant(values, name=f"weight{place}")
    graph.operators.append(graph.operator(code, inputs, [target]))
    graph.table.inputs, graph.table.outputs = np.array([source]), np.array([target])
    return graph.model


def gates(projected=False):
    state = OUTPUTS if projected else UNITS
    found = {place: (UNITS, INPUTS if place < 5 else state) for place in range(1, 9)}
    return found | {16: (OUTPUTS, UNITS)} if projected else found


def backwards(weights, first):
    return weights | {first - 1 + place: size for place, size in weights.items()}


LSTM = 4 * UNITS * (INPUTS + UNITS)
FUSED = {
    "LSTM": ("UNIDIRECTIONAL_SEQUENCE_LSTM", (1, STEPS, INPUTS), gates(), 24, STEPS * LSTM),
    "LSTM of two examples": ("LSTM", (2, INPUTS), gates(), 20, 2 * LSTM),
    "projected LSTM": (
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        (1, STEPS, INPUTS),
        gates(projected=True),
        24,
        STEPS * (4 * UNITS * (INPUTS + OUTPUTS) + OUTPUTS * UNITS),
    ),
    "basic LSTM": ("LSTM", (1, INPUTS), {2: (4 * UNITS, INPUTS + UNITS)}, 5, LSTM),
    "LSTM in both directions": (
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        (1, STEPS, INPUTS),
        backwards(gates(), 18),
        48,
        2 * STEPS * LSTM,
    ),
    "RNN": (
        "UNIDIRECTIONAL_SEQUENCE_RNN",
        (1, STEPS, INPUTS),
        {1: (UNITS, INPUTS), 2: (UNITS, UNITS)},
        5,
        STEPS * UNITS * (INPUTS + UNITS),
    ),
    "SVDF": (
        "SVDF",
        (1, INPUTS),
        {1: (UNITS, INPUTS), 2: (UNITS, MEMORY)},
        5,
        UNITS * (INPUTS + MEMORY),
    ),
}


@pytest.mark.parametrize("kind", FUSED)
def test_the_weights_of_fused_layers_are_counted(kind, tmp_path):
    name, shape, weights, count, multiply_adds = FUSED[kind]
    model = fused(getattr(OPERATORS, name), shape, weights, count)
    found = lint(tflite_files.write(tmp_path, model))
    assert found.multiply_adds == multiply_adds and found.notes == ()
    assert [layer.shape for layer in found.layers] == [weights[place] for place in sorted(weights)]
    assert {layer.operator for layer in found.layers} == {name}
    assert all(layer.sparsity == 0.5 and layer.kernel == "dense" for layer in found.layers)


def test_where_there_are_no_zeros_that_is_the_reason(tmp_path):
    for value, reason in ((1.0, "no zeros"), (0.0, "no DENSIFY in the file")):
        model = READERS["CONV_2D"]()
        kernel = model.subgraphs[0].tensors[int(model.subgraphs[0].operators[0].inputs[1])]
        kernel.shape = np.array([32, 1, 1, 16], np.int32)
        values = np.ones(32 * 16, np.float32)
        values[0] = value
        model.buffers[kernel.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
        (layer,) = lint(tflite_files.write(tmp_path, model)).layers
        assert layer.blocker == reason


def test_counts_are_counts_and_shares_are_shares(tmp_path, capsys):
    rng = np.random.default_rng(0)
    path = tflite_files.write(tmp_path, tflite_files.linear(rng.random((8, 4), np.float32)))
    values = json_of(capsys, "lint", path)
    assert values["multiply_adds"] == 32
    assert isinstance(values["sparse_multiply_adds"], int) and values["sparse_multiply_adds"] == 0
    assert isinstance(values["sparse_share"], float)


def test_custom_operators_are_called_by_their_names(tmp_path):
    path = tflite_files.write(tmp_path, tflite_files.custom())
    assert any("custom operator 'Mystery'" in note for note in lint(path).notes)
    assert inspect_tflite(path).operators == {"CUSTOM Mystery v1": 1}


def test_old_biases_with_the_dimension_of_their_kernels_are_read(tmp_path):
    """Converters once wrote dimension 3, of the kernel, to biases of one dimension as well."""
    model = tflite_files.linear(np.ones((4, 3), np.float32))
    graph = model.subgraphs[0]
    bias = schema.TensorT()
    bias.shape, bias.type, bias.buffer, bias.name = np.array([4]), TYPES.INT32, 0, b"bias"
    bias.quantization = schema.QuantizationParametersT()
    bias.quantization.scale = np.full(4, 0.5, np.float32)
    bias.quantization.zeroPoint = np.zeros(4, np.int64)
    bias.quantization.quantizedDimension = 3
    graph.tensors.append(bias)
    assert len(lint(tflite_files.write(tmp_path, model)).layers) == 1
    bias.shape = np.array([5])
    with pytest.raises(ValueError, match="damaged.*4 scales along dimension 3"):
        lint(tflite_files.write(tmp_path, model))


def test_long_names_are_shown_whole(tmp_path):
    model = tflite_files.linear(np.ones((4, 3), np.float32))
    name = "encoder/" * 8 + "layer_11/attention/query/kernel"
    model.subgraphs[0].tensors[2].name = name.encode()
    path = tflite_files.write(tmp_path, model)
    assert f"  {name} " in str(lint(path)) and f"  {name} " in str(inspect_tflite(path))
