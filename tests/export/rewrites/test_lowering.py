"""Lowering to 1x1 convolutions and shifts: the same function, in the sparse mode's operators."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.support.export.rewrite_cases import (
    EXACT,
    image_model,
    largest_difference,
    randomize,
    rewrite,
)
from tfprune.export import rewrites
from tfprune.export.convert import converter
from tfprune.export.file import signature
from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.rewrites import Way, windows
from tfprune.export.rewrites.lowered import entry as entries
from tfprune.export.rewrites.lowered import image, shifts

LOWERED = "Layers written as 1x1 convolutions, shifts and sums"
LEFT = "The sparse mode is left at"


def conv(filters, kernel, strides=1, activation=None, **options):
    return layers.Conv2D(
        filters, kernel, strides=strides, padding="same", activation=activation, **options
    )


def entry():
    return [layers.ZeroPadding2D(1), layers.Conv2D(8, 3, strides=2, activation="relu")]


def lower(*stack, sparsity=0.8, size=32, block=1, **options):
    model = image_model(*stack, layers.GlobalAveragePooling2D(), size=size)
    return rewrite(model, sparsity=sparsity, way=lowering(block), **options)


def lowering(block=1):
    return Way(rotated=block == 1, block=block, kernels=True)


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
        if code == OPERATORS.CONV_2D and not entries.is_entry(graph, operator, window):
            assert kernel == (1, 1) and not window.strided and window.pad is None
        else:
            assert kernel in ((3, 3), (5, 5)) and window.symmetric
            assert not (window.strided and window.same)
    said = " ".join(rewritten.said)
    return LOWERED in said and LEFT not in said


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
    rewritten = rewrite(model, sparsity=0.8, way=lowering(2))
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
        conv(8, 3, groups=2),
        layers.AveragePooling2D(2),
        layers.DepthwiseConv2D((1, 3), padding="same"),
    ],
    ids="narrow wide five dilated row even no_bias groups average depthwise".split(),
)
def test_convolutions_of_every_shape_compute_the_same(layer):
    rewritten = lower(*entry(), conv(8, 3), layer, layers.ReLU())
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
    rewritten = lower(conv(8, kernel, strides=2), sparsity=0, block=2)
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


@pytest.mark.parametrize(
    ("stack", "reader"),
    [
        ([conv(8, 7)], "CONV_2D"),
        ([layers.AveragePooling2D(3, strides=2, padding="same")], "AVERAGE_POOL_2D"),
        ([layers.DepthwiseConv2D(7, padding="same")], "DEPTHWISE_CONV_2D"),
        ([layers.UpSampling2D(8)], "RESHAPE"),
        ([layers.Conv2D(8, 1), layers.MaxPooling2D(3, 2, "same")], "MAX_POOL_2D"),
    ],
    ids=["large", "average", "depthwise", "resize", "negative"],
)
def test_what_the_mode_has_no_terms_for_stays_outside_with_all_behind_it(stack, reader):
    rewritten = lower(*entry(), conv(8, 3), *stack, conv(8, 3))
    assert rewritten.said[-1].startswith(LEFT) and f"for {reader}." in rewritten.said[-1]
    assert largest_difference(rewritten) < EXACT
    assert rewritten.operators["DEPTH_TO_SPACE"] == rewritten.operators["SPACE_TO_DEPTH"] == 1


def test_dense_convolutions_are_not_lowered():
    rewritten = lower(*entry(), conv(24, 3), conv(24, 3), sparsity=0.5)
    assert "for CONV_2D" in rewritten.said[-1]


def test_images_leave_the_mode_as_they_were():
    model = image_model(*entry(), conv(6, 3))
    rewritten = rewrite(model, sparsity=0.9, way=lowering())
    assert "for an output" in rewritten.said[-1]
    assert largest_difference(rewritten) < EXACT


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
    lowered, _ = rewrites.apply(dense, lowering())
    graph = Subgraph(lowered, lowered.subgraphs[0])
    shifted = [op for op in graph.operators if graph.code(op) == OPERATORS.DEPTHWISE_CONV_2D]
    # Two channels are gathered, from above and from below right; the centre stays where it is.
    assert [graph.shape(operator.outputs[0])[3] for operator in shifted] == [2]


def test_convolutions_without_any_weight_give_their_bias():
    rewritten = lower(*entry(), conv(8, 3), layers.ReLU(), sparsity=1.0)
    assert is_lowered(rewritten)
    assert largest_difference(rewritten) < EXACT


def test_taps_of_an_image_are_taps_of_its_blocks():
    kernel = np.arange(1.0, 1 + 2 * 2 * 3, dtype=np.float32).reshape(2, 2, 3)
    taps = image.in_blocks(shifts.Taps(kernel, ((-1, 0), (2, 1)), 2), (2, 2), (1, 1))
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
    rewritten = rewrite(model, way=lowering())
    assert is_lowered(rewritten)
    assert largest_difference(rewritten) < EXACT
    assert rewritten.operators["DEPTHWISE_CONV_2D"] == 1
