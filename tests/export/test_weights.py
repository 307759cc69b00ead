"""Which constants of a file can be stored anew, and in how many bits."""

import keras
import numpy as np
import pytest
from keras import layers

from tfprune.export.convert import converter
from tfprune.export.encode import narrowing
from tfprune.export.file import signature
from tfprune.export.file.constants import constant_weights


def parsed(model):
    return converter.convert(model, signature.signature_of(model)).model


def found(model):
    return list(constant_weights(parsed(model)))


def test_kernels_and_biases_are_found_with_the_axis_of_their_channels():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(6, 3, bias_initializer="ones"),
            layers.DepthwiseConv2D(3, bias_initializer="ones"),
            layers.Flatten(),
            layers.Dense(5, bias_initializer="ones"),
        ]
    )
    axes = {w.values.shape: None if w.is_bias else w.channel_axis for w in found(model)}
    assert axes == {
        (6, 3, 3, 3): 0,
        (6,): None,
        (1, 3, 3, 6): 3,
        (5, 96): 0,
        (5,): None,
    }


def test_only_fully_connected_weights_may_go_native():
    model = keras.Sequential([keras.Input((4, 4, 8)), layers.Conv2D(6, 1), layers.Dense(5)])
    kinds = {w.values.shape: w.fully_connected for w in found(model) if not w.is_bias}
    assert kinds[(6, 1, 1, 8)] is False and kinds[(5, 6)] is True


def test_a_table_that_is_also_a_kernel_is_one_weight_with_two_roles():
    tokens = keras.Input((3,), dtype="int32")
    table = layers.ReversibleEmbedding(20, 8)
    model = keras.Model(tokens, table(table(tokens), reverse=True))
    tied = [weight for weight in found(model) if weight.values.size == 160]
    assert all(not weight.fully_connected for weight in tied) or len(tied) == 2


def test_a_constant_that_is_also_an_operand_is_left_alone():
    kernel = np.eye(6, dtype=np.float32) * 3

    class Doubled(layers.Layer):
        def call(self, inputs):
            return keras.ops.matmul(inputs, keras.ops.convert_to_tensor(kernel)) + kernel

    model = keras.Sequential([keras.Input((6, 6)), Doubled()])
    assert [weight.values.shape for weight in found(model)] in ([], [(6, 6)])
    for weight in found(model):
        assert all(len(use.readers) == 1 for use in weight.uses)


@pytest.mark.parametrize("axis", [0, 1, 3])
def test_int8_rounds_by_half_a_step_at_most_and_keeps_zeros(axis):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((4, 3, 2, 5)).astype(np.float32)
    values[rng.random(values.shape) < 0.6] = 0
    rounded, scales = narrowing.int8_channels(values, axis)
    shape = [1] * 4
    shape[axis] = -1
    steps = scales.reshape(shape)
    assert rounded.dtype == np.int8 and rounded.min() >= -127
    assert np.all(np.abs(rounded * steps - values) <= steps * 0.5001)
    assert np.all(rounded[values == 0] == 0)
    others = tuple(np.delete(np.arange(4), axis))
    assert np.all(np.abs(rounded).max(axis=others) == 127)


def test_a_channel_of_zeros_stays_zero():
    rounded, scales = narrowing.int8_channels(np.zeros((2, 3), np.float32), 0)
    assert not rounded.any() and scales.tolist() == [1.0, 1.0]


def test_values_beyond_float16_are_refused_by_name():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(5, use_bias=False)])
    model.layers[0].kernel.assign(np.full((6, 5), 1e6))
    (weight,) = found(model)
    with pytest.raises(ValueError, match=r"beyond 65,504. Received: .*values up to 1e\+06"):
        narrowing.narrow(weight, "float16")
    model.layers[0].kernel.assign(np.full((6, 5), 1e3))
    (weight,) = found(model)
    assert narrowing.narrow(weight, "float16").values.dtype == np.float16
