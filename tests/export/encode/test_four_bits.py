"""Weights in 4 bits: 15 levels, exact for weights that have no more, on every kernel."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tests.support.cli_runner import json_of
from tfprune.export import inspect_tflite, lint
from tfprune.export.convert import converter
from tfprune.export.encode.four_bits import four_bit_levels, in_four_bits
from tfprune.export.file.constants import constant_weights
from tfprune.export.file.four_bit_values import packed, unpacked
from tfprune.export.file.signature import signature_of

KERNELS = (
    OpResolverType.BUILTIN,
    OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    OpResolverType.BUILTIN_REF,
)


def test_two_values_share_a_byte_the_first_in_the_low_half():
    assert packed(np.array([1, -1, 7])).tolist() == [0xF1, 0x07]
    assert packed(np.array([[-7, 7]])).tolist() == [0x79]


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 8), (31,)])
def test_values_are_read_as_they_were_packed(shape):
    values = np.random.default_rng(len(shape)).integers(-8, 8, shape, np.int8)
    found = unpacked(packed(values), shape)
    assert found.dtype == np.int8 and np.array_equal(found, values)


def test_a_channel_has_fifteen_levels_and_zero_stays_zero():
    values = np.array([[127, -127, 0, 9, 10], [0, 0, 0, 0, 0], [1, 0, 0, -1, 0]], np.int8)
    levels, scales = four_bit_levels(values, np.array([0.7, 1.0, 2.0], np.float32), 0)
    assert levels.tolist() == [[7, -7, 0, 0, 1], [0, 0, 0, 0, 0], [7, 0, 0, -7, 0]]
    assert np.allclose(scales, [12.7, 1.0, 2 / 7])


def test_a_large_bias_makes_the_scale_of_its_channel_larger():
    values = np.array([[127, 0], [0, 0], [0, 8]], np.int8)
    biases = np.array([1000.0, 2.0**30, 2.0**28])
    levels, scales = four_bit_levels(values, np.ones(3, np.float32), 0, biases)
    assert levels.tolist() == [[7, 0], [0, 0], [0, 2]]
    assert np.allclose(scales, [127 / 7, 16, 4])
    assert np.all(biases / scales <= 2**26)


@pytest.mark.parametrize("kernels", KERNELS, ids=lambda kernels: kernels.name)
def test_a_channel_without_weights_keeps_its_bias_on_every_kernel(empty_channel, kernels):
    (found,) = outputs(empty_channel, np.ones((1, 8), np.float32), kernels)
    assert found[0] == pytest.approx(0.75, abs=0.02)


@pytest.fixture(scope="module")
def empty_channel():
    """A layer in 4 bits whose first output has a bias of .75 and no weights."""
    random = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    kernel = 0.1 * random.normal(size=(8, 3))
    kernel[:, 0] = 0
    model.set_weights([kernel, np.array([0.75, -0.5, 0.25])])
    data = random.normal(size=(20, 8)).astype("float32")
    file = converter.convert(model, signature_of(model), quantize="int8", representative=[data])
    return in_four_bits(file)[0].content


@pytest.fixture(scope="module")
def files():
    """An int8 file of weights with 15 levels, and the same in 4 bits."""
    random = np.random.default_rng(0)
    inputs = keras.Input((6, 6, 4))
    x = keras.layers.Conv2D(8, 3, activation="relu", name="conv")(inputs)
    x = keras.layers.DepthwiseConv2D(3, name="depthwise")(x)
    model = keras.Model(inputs, keras.layers.Dense(5, name="dense")(keras.layers.Flatten()(x)))
    for layer in (model.get_layer("conv"), model.get_layer("dense")):
        levels = random.integers(-7, 8, layer.kernel.shape)
        levels[0] = 7
        levels[1] = 0
        layer.set_weights([levels * 0.03, random.normal(size=layer.bias.shape)])
    data = random.normal(size=(20, 6, 6, 4)).astype("float32")
    file = converter.convert(model, signature_of(model), quantize="int8", representative=[data])
    return file, in_four_bits(file), data


def outputs(content, data, kernels):
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    found = []
    for example in data:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], example[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).copy())
    return np.concatenate(found)


@pytest.mark.parametrize("kernels", KERNELS, ids=lambda kernels: kernels.name)
def test_weights_of_fifteen_levels_compute_the_same_in_four_bits(files, kernels):
    eight, (four, names), data = files
    assert names == ("conv/kernel", "dense/kernel")
    expected = outputs(eight.content, data, kernels)
    step = np.ptp(expected) / 200
    assert np.abs(outputs(four.content, data, kernels) - expected).max() < 2 * step


def test_the_file_is_smaller_and_the_old_one_stays(files):
    eight, (four, _), _ = files
    before = converter.flatbuffer.pack(eight.model)
    assert before == eight.content
    assert len(four.content) < len(eight.content)


@pytest.fixture(scope="module")
def written(files, tmp_path_factory):
    """Both files by their bits, and the zeros of every weight that has 4."""
    eight, (four, names), _ = files
    folder = tmp_path_factory.mktemp("bits")
    paths = {"eight": folder / "eight.tflite", "four": folder / "four.tflite"}
    for path, content in zip(paths.values(), (eight.content, four.content)):
        path.write_bytes(content)
    zeros = {each.name: np.mean(each.values == 0) for each in constant_weights(eight.model)}
    assert all(0.02 < zeros[name] < 0.4 for name in names)
    return paths, {name: zeros[name] for name in names}


def test_lint_counts_the_zeros_of_four_bits(written, capsys):
    paths, zeros = written
    for target in ("x86", "arm64", "wasm", "microcontroller"):
        found = {layer.name: layer for layer in lint(paths["four"], target=target).layers}
        assert {name: found[name].sparsity for name in zeros} == zeros
    assert "no sparse kernel reads weights of 4 bits" in found_blocker(paths["four"])
    assert found_blocker(paths["eight"]) != found_blocker(paths["four"])
    told = {
        row["name"]: row["sparsity"] for row in json_of(capsys, "lint", paths["four"])["layers"]
    }
    assert {name: told[name] for name in zeros} == zeros


def found_blocker(path):
    """What keeps the fully connected layer dense."""
    (layer,) = [each for each in lint(path).layers if each.operator == "FULLY_CONNECTED"]
    return layer.blocker


def test_inspection_counts_zeros_and_half_a_byte_a_weight(written, capsys):
    paths, zeros = written
    found = {each.name: each for each in inspect_tflite(paths["four"]).constants}
    before = {each.name: each for each in inspect_tflite(paths["eight"]).constants}
    for name, wanted in zeros.items():
        assert (found[name].dtype, before[name].dtype) == ("int4", "int8")
        assert found[name].sparsity == before[name].sparsity == pytest.approx(wanted)
        assert found[name].stored_bytes == -(-before[name].stored_bytes // 2)
    told = [json_of(capsys, "inspect", path, "--nofm", "1:2") for path in paths.values()]
    assert told[0]["nofm"]["weights"] == told[1]["nofm"]["weights"]
    nonzeros = {each["name"]: each["nonzeros"] for each in told[1]["constants"]}
    assert {name: nonzeros[name] for name in zeros} == {n: before[n].nonzeros for n in zeros}


def test_weights_of_four_bits_are_not_stored_anew(files):
    _, (four, names), _ = files
    assert not {each.name for each in constant_weights(four.model)} & set(names)
