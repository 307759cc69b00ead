"""Lowering to 1x1 convolutions and shifts: the same function, in the sparse mode's operators."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.support.export.rewrite_cases import (
    EXACT,
    count_operators,
    image_model,
    largest_difference,
    randomize,
    rewrite,
)
from tfprune.export import rewrites
from tfprune.export.convert import converter
from tfprune.export.file import flatbuffer, signature
from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.rewrites import shifts, stem, windows

LOWERED = "Layers lowered to 1x1 convolutions and shifts"


def conv(filters, kernel, strides=1, activation=None, **options):
    return layers.Conv2D(
        filters, kernel, strides=strides, padding="same", activation=activation, **options
    )


def entry():
    return [layers.ZeroPadding2D(1), layers.Conv2D(8, 3, strides=2, activation="relu")]


def lower(*stack, sparsity=0.8, size=32, **options):
    model = image_model(*stack, layers.GlobalAveragePooling2D(), size=size)
    return rewrite(model, sparsity=sparsity, lower_conv3x3=True, **options)


def is_lowered(rewritten):
    """Whether nothing but the operators of the sparse mode is left, padded as it wants."""
    graph = rewritten.graph
    producers = graph.producers()
    for operator in graph.operators:
        code = graph.code(operator)
        if code not in windows.CONVOLUTIONS:
            assert code not in windows.POOLS
            continue
        window = windows.read(graph, operator, producers)
        kernel = graph.shape(operator.inputs[1])[1:3]
        if code == OPERATORS.CONV_2D and not stem.is_entry(graph, operator, window):
            assert kernel == (1, 1) and not window.strided and window.pad is None
        else:
            assert kernel in ((3, 3), (5, 5)) and window.symmetric
            assert not (window.strided and window.same)
    return rewritten.said[0].startswith(LOWERED) or rewritten.said[1].startswith(LOWERED)


def test_a_residual_network_is_lowered_whole():
    """A 7x7 first convolution, a max-pool, strided 1x1 convolutions, 3x3 convolutions, sums."""
    image = keras.Input((64, 64, 3))
    x = layers.Conv2D(8, 7, strides=2)(layers.ZeroPadding2D(3)(image))
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(x))
    for strides in (1, 2):
        shortcut = layers.Conv2D(16, 1, strides=strides)(x)
        x = layers.Conv2D(8, 1, strides=strides, activation="relu")(x)
        x = layers.Conv2D(16, 1)(layers.Conv2D(8, 3, padding="same", activation="relu")(x))
        x = layers.ReLU()(layers.Add()([shortcut, x]))
    model = keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))
    rewritten = rewrite(model, sparsity=0.8, lower_conv3x3=True)
    assert is_lowered(rewritten)
    assert largest_difference(rewritten) < EXACT
    assert f"{LOWERED}: 6." in rewritten.said


@pytest.mark.parametrize("activation", [None, "relu", "relu6", "hard_swish", "sigmoid"])
def test_the_activation_comes_last(activation):
    rewritten = lower(*entry(), conv(8, 3, activation=activation))
    assert is_lowered(rewritten)
    assert largest_difference(rewritten) < EXACT


@pytest.mark.parametrize(
    "layer",
    [
        conv(6, 3),
        conv(24, 3),
        conv(6, 5),
        conv(6, 3, dilation_rate=2),
        conv(6, (1, 3)),
        conv(6, 2),
        conv(6, 3, use_bias=False),
    ],
    ids=["narrow", "wide", "five", "dilated", "row", "even", "no_bias"],
)
def test_convolutions_of_every_shape_compute_the_same(layer):
    rewritten = lower(*entry(), layer, layers.ReLU())
    assert is_lowered(rewritten)
    assert largest_difference(rewritten) < EXACT


@pytest.mark.parametrize("size", [32, 33, 36])
@pytest.mark.parametrize("kernel", [1, 3])
def test_strides_are_taken_over_by_the_shift_in_rotated_networks_too(kernel, size):
    rewritten = lower(
        conv(8, 3, strides=2, activation="relu"), conv(12, kernel, strides=2), size=size
    )
    assert is_lowered(rewritten)
    assert largest_difference(rewritten) < EXACT
    assert rewritten.operators["REVERSE_V2"] == (size % 2 == 0)


@pytest.mark.parametrize("kernel", [5, 7])
def test_large_first_convolutions_work_on_squares(kernel):
    rewritten = lower(conv(8, kernel, strides=2), sparsity=0)
    assert is_lowered(rewritten)
    assert largest_difference(rewritten) < EXACT


@pytest.mark.parametrize(
    "pool",
    [
        layers.MaxPooling2D(3, strides=2, padding="same"),
        layers.MaxPooling2D(3, strides=1, padding="same"),
        layers.MaxPooling2D(2),
        layers.MaxPooling2D((1, 2), strides=2),
        layers.MaxPooling2D(5, strides=1, padding="same"),
    ],
    ids=["3_by_2", "3_by_1", "2_by_2", "pair", "5_by_1"],
)
def test_max_pools_compute_the_same(pool):
    rewritten = lower(*entry(), pool)
    assert is_lowered(rewritten)
    assert largest_difference(rewritten) < EXACT


def test_max_pools_of_negative_values_are_lowered_where_they_pad_nothing():
    inside = lower(*entry(), layers.Conv2D(8, 1), layers.MaxPooling2D(2))
    assert is_lowered(inside) and largest_difference(inside) < EXACT
    padded = layers.MaxPooling2D(3, strides=2, padding="same")
    refused = lower(*entry(), layers.Conv2D(8, 1), padded)
    assert "may pad negative inputs" in refused.said[-1]


@pytest.mark.parametrize(
    ("stack", "reason"),
    [
        ([*entry(), conv(8, 3), layers.AveragePooling2D(2)], "AVERAGE_POOL_2D"),
        ([conv(8, 3)], "is the first convolution and has not stride 2"),
        ([*entry(), conv(8, 3, groups=2)], "is no sum of shifts"),
        ([*entry(), conv(8, 7)], "is no sum of shifts"),
        ([*entry(), layers.Conv2D(8, 3)], "is no sum of shifts"),
        ([*entry(), conv(8, 3), layers.DepthwiseConv2D(7, padding="same")], "no sparse or lowered"),
        ([*entry(), conv(8, 3), layers.UpSampling2D()], "no sparse or lowered"),
    ],
    ids=["average", "first", "groups", "large", "valid", "depthwise", "resize"],
)
def test_one_operator_outside_keeps_the_network_as_it_was(stack, reason):
    rewritten = lower(*stack)
    assert rewritten.said[-1].startswith("No layer is lowered: ") and reason in rewritten.said[-1]
    assert largest_difference(rewritten) < EXACT
    plain = flatbuffer.parse(rewritten.before, "plain")
    without, _ = rewrites.apply(plain)
    assert rewritten.operators == count_operators(flatbuffer.pack(without))


def test_dense_convolutions_are_not_lowered():
    rewritten = lower(*entry(), conv(8, 3), sparsity=0.5)
    assert "must be more than two thirds" in rewritten.said[-1]


def test_spatial_outputs_are_not_lowered():
    model = image_model(*entry(), conv(8, 3))
    rewritten = rewrite(model, sparsity=0.9, lower_conv3x3=True)
    assert "has height and width" in rewritten.said[-1]


def test_a_free_batch_stays_free():
    rewritten = lower(*entry(), conv(8, 3, strides=2), layers.MaxPooling2D(2), free_batch=True)
    assert is_lowered(rewritten)
    assert largest_difference(rewritten, batch=3) < EXACT


def test_pairs_without_a_weight_cost_nothing():
    model = randomize(image_model(*entry(), conv(8, 3), layers.GlobalAveragePooling2D()))
    kernel = np.zeros((3, 3, 8, 8), np.float32)
    kernel[0, 1, 2, 3] = kernel[2, 2, 4, :3] = kernel[1, 1, 0, 0] = 1
    model.layers[-2].set_weights([kernel, np.ones(8)])
    dense = converter.convert(model, signature.signature_of(model)).model
    lowered, _ = rewrites.apply(dense, lower_conv3x3=True)
    graph = Subgraph(lowered, lowered.subgraphs[0])
    shifted = [op for op in graph.operators if graph.code(op) == OPERATORS.DEPTHWISE_CONV_2D]
    # Two channels are gathered, from above and from below right; the centre stays where it is.
    assert [graph.shape(operator.outputs[0])[3] for operator in shifted] == [2]


def test_convolutions_without_any_weight_give_their_bias():
    rewritten = lower(*entry(), conv(8, 3), layers.ReLU(), sparsity=1.0)
    assert is_lowered(rewritten)
    assert largest_difference(rewritten) < EXACT


def test_taps_of_an_image_are_taps_of_its_squares():
    kernel = np.arange(1.0, 1 + 2 * 2 * 3, dtype=np.float32).reshape(2, 2, 3)
    taps = stem.taps_on_squares(shifts.Taps(kernel, ((-1, 0), (2, 1)), 2))
    assert taps.offsets == ((-1, 0), (1, 0)) and taps.stride == 1
    # Row -1 is row 1 of the square above; row 2, column 1 is row 0, column 1 of the square below.
    np.testing.assert_array_equal(taps.kernel[:, 0, 6:9], kernel[:, 0])
    np.testing.assert_array_equal(taps.kernel[:, 1, 3:6], kernel[:, 1])
    assert np.count_nonzero(taps.kernel) == kernel.size


def test_one_shift_serves_all_convolutions_of_a_tensor():
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2)(layers.ZeroPadding2D(1)(image))
    x = layers.Add()([layers.Conv2D(4, 1, strides=2)(x), layers.Conv2D(4, 1, strides=2)(x)])
    model = keras.Model(image, layers.GlobalAveragePooling2D()(x))
    rewritten = rewrite(model, lower_conv3x3=True)
    assert is_lowered(rewritten)
    assert largest_difference(rewritten) < EXACT
    assert rewritten.operators["DEPTHWISE_CONV_2D"] == 1
