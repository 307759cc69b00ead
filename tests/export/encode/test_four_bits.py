"""Weights in 4 bits: 15 levels, exact for weights that have no more, on every kernel."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tfprune.export.convert import converter
from tfprune.export.encode.four_bits import four_bit_levels, in_four_bits, packed
from tfprune.export.file.signature import signature_of

KERNELS = (
    OpResolverType.BUILTIN,
    OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    OpResolverType.BUILTIN_REF,
)


def test_two_values_share_a_byte_the_first_in_the_low_half():
    assert packed(np.array([1, -1, 7])).tolist() == [0xF1, 0x07]
    assert packed(np.array([[-7, 7]])).tolist() == [0x79]


def test_a_channel_has_fifteen_levels_and_zero_stays_zero():
    values = np.array([[127, -127, 0, 9, 10], [0, 0, 0, 0, 0], [1, 0, 0, -1, 0]], np.int8)
    levels, scales = four_bit_levels(values, np.array([0.7, 1.0, 2.0], np.float32), 0)
    assert levels.tolist() == [[7, -7, 0, 0, 1], [0, 0, 0, 0, 0], [7, 0, 0, -7, 0]]
    assert np.allclose(scales, [12.7, 1.0, 2 / 7])


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
