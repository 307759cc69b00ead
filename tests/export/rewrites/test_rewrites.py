"""Rewrites of the graph: the same function, in the operators of the sparse mode."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.support.export.rewrite_cases import (
    EXACT,
    Rewritten,
    count_operators,
    image_model,
    largest_difference,
    rewrite,
    separable,
)
from tfprune.export import rewrites
from tfprune.export.file import flatbuffer
from tfprune.export.file.subgraph import OPERATORS
from tfprune.export.rewrites import windows


def strided_convolutions(rewritten):
    """(kernel, pads, padding of its own) of each convolution with a stride and a kernel."""
    graph = rewritten.graph
    producers = graph.producers()
    found = []
    for operator in graph.operators:
        if graph.code(operator) in windows.CONVOLUTIONS:
            window = windows.read(graph, operator, producers)
            if window.strided:
                pads = windows.zeros_of(graph, window.pad) if window.pad is not None else None
                found.append((window.axes[0].kernel, pads, window.same))
    return found


def mobile(size, **options):
    return image_model(
        layers.Conv2D(8, 3, strides=2, padding="same"),
        layers.BatchNormalization(),
        layers.ReLU(6.0),
        *separable(12),
        *separable(16, strides=2),
        *separable(20, strides=2, kernel=5),
        layers.GlobalAveragePooling2D(keepdims=True),
        layers.Conv2D(10, 1),
        layers.Flatten(),
        size=size,
        **options,
    )


def v3(size=32):
    """Squeeze-and-excite with hard-swish, a residual sum, a head of two convolutions."""
    image = keras.Input((size, size, 3))
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(image)
    x = layers.Conv2D(8, 3, strides=2)(x)
    x = layers.Activation("hard_swish")(x)
    squeezed = layers.GlobalAveragePooling2D(keepdims=True)(x)
    squeezed = layers.Conv2D(4, 1, activation="relu")(squeezed)
    squeezed = layers.Conv2D(8, 1, activation="hard_sigmoid")(squeezed)
    scaled = layers.Multiply()([x, squeezed])
    x = layers.Add()([x, layers.Conv2D(8, 1)(scaled)])
    x = layers.ZeroPadding2D(((1, 2), (1, 2)))(x)
    x = layers.DepthwiseConv2D(5, strides=2)(x)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Activation("hard_swish")(layers.Conv2D(12, 1)(x))
    return keras.Model(image, layers.Flatten()(layers.Conv2D(6, 1)(x)))


@pytest.mark.parametrize("size", [32, 34, 40])
def test_even_networks_get_symmetric_padding_and_compute_the_same(size):
    rewritten = rewrite(mobile(size))
    assert largest_difference(rewritten) < EXACT
    assert strided_convolutions(rewritten) == [
        (3, ((1, 1), (1, 1)), False),
        (3, ((1, 1), (1, 1)), False),
        (5, ((2, 2), (2, 2)), False),
    ]
    assert rewritten.operators["REVERSE_V2"] == 1
    assert rewritten.said[0].startswith("The network is rotated by 180 degrees")


def test_odd_networks_get_explicit_padding_without_rotation():
    rewritten = rewrite(mobile(33))
    assert largest_difference(rewritten) < EXACT
    assert [pads for _, pads, _ in strided_convolutions(rewritten)] == [
        ((1, 1), (1, 1)),
        ((1, 1), (1, 1)),
        ((2, 2), (2, 2)),
    ]
    assert rewritten.operators["REVERSE_V2"] == 0


def test_squeeze_and_excite_stays_and_the_head_becomes_fully_connected():
    rewritten = rewrite(v3())
    assert largest_difference(rewritten) < EXACT
    operators = rewritten.operators
    assert operators["FULLY_CONNECTED"] == 2
    assert operators["CONV_2D"] == count_operators(rewritten.before)["CONV_2D"] - 2
    assert "1x1 convolutions of the head that became FULLY_CONNECTED: 2." in rewritten.said


def test_a_head_that_ends_on_four_axes_is_reshaped_to_them():
    model = image_model(
        layers.Conv2D(8, 3, padding="same"),
        layers.GlobalAveragePooling2D(keepdims=True),
        layers.Conv2D(5, 1, activation="sigmoid"),
    )
    rewritten = rewrite(model)
    assert largest_difference(rewritten) < EXACT
    assert rewritten.operators["FULLY_CONNECTED"] == rewritten.operators["RESHAPE"] == 1


def test_constants_of_sums_and_products_have_rank_4():
    model = image_model(
        layers.Conv2D(8, 3, padding="same", activation="sigmoid"),
        layers.Lambda(lambda x: keras.ops.tanh(2.0 * x)),
        layers.Lambda(lambda x: keras.ops.tanh(x - 0.125)),
        layers.Lambda(lambda x: keras.ops.tanh(x + np.arange(8, dtype="float32"))),
    )
    rewritten = rewrite(model)
    assert largest_difference(rewritten) < EXACT
    graph = rewritten.graph
    sums = [op for op in graph.operators if graph.code(op) in (OPERATORS.ADD, OPERATORS.MUL)]
    assert len(sums) == 3
    assert all(len(graph.shape(index)) == 4 for operator in sums for index in operator.inputs)
    assert rewritten.operators["SUB"] == 0


def test_spatial_outputs_are_turned_back():
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(image)
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    rewritten = rewrite(keras.Model(image, [x, y, layers.GlobalAveragePooling2D()(y)]))
    assert largest_difference(rewritten) < EXACT
    assert rewritten.operators["REVERSE_V2"] == 3


def test_each_spatial_input_is_turned_once():
    first, second = keras.Input((32, 32, 3)), keras.Input((16, 16, 4))
    vector = keras.Input((5,))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(first)
    x = layers.Concatenate()([layers.Add()([x, second]), second])
    x = layers.GlobalAveragePooling2D()(layers.DepthwiseConv2D(3, strides=2, padding="same")(x))
    both = layers.Concatenate()([x, vector])
    model = keras.Model([first, second, vector], [layers.Dense(3)(both), layers.Dense(2)(both)])
    rewritten = rewrite(model)
    assert largest_difference(rewritten) < EXACT
    assert rewritten.operators["REVERSE_V2"] == 2


def test_a_free_batch_stays_free():
    rewritten = rewrite(mobile(32), free_batch=True)
    assert rewritten.operators["REVERSE_V2"] == 1
    for batch in (1, 3):
        assert largest_difference(rewritten, batch) < EXACT


def test_flattened_images_are_turned_back_first():
    model = image_model(
        layers.Conv2D(6, 3, strides=2, padding="same"), layers.Flatten(), layers.Dense(4)
    )
    rewritten = rewrite(model)
    assert largest_difference(rewritten) < EXACT
    assert rewritten.operators["REVERSE_V2"] == 2


@pytest.mark.parametrize(
    "pool",
    [
        layers.MaxPooling2D(3, strides=2, padding="same"),
        layers.MaxPooling2D(2),
        layers.AveragePooling2D(3, strides=1, padding="same"),
        layers.AveragePooling2D(2),
    ],
    ids=["max_3", "max_2", "average_3", "average_2"],
)
def test_pools_turn_with_the_network(pool):
    model = image_model(
        layers.Conv2D(6, 3, strides=2, padding="same", activation="relu"),
        pool,
        *separable(8, strides=2),
        layers.GlobalAveragePooling2D(),
    )
    rewritten = rewrite(model)
    assert largest_difference(rewritten) < EXACT
    assert rewritten.operators["REVERSE_V2"] == 1


def test_spatial_constants_turn_with_the_network():
    model = image_model(
        layers.Conv2D(6, 3, strides=2, padding="same"),
        layers.PReLU(),
        layers.DepthwiseConv2D(3, strides=2, padding="same"),
        layers.GlobalAveragePooling2D(),
    )
    rewritten = rewrite(model)
    assert largest_difference(rewritten) < EXACT
    assert rewritten.operators["REVERSE_V2"] == 1


def test_shared_kernels_are_turned_once_and_old_ones_dropped():
    image = keras.Input((32, 32, 3))
    shared = layers.Conv2D(32, 3, padding="same")
    x = shared(shared(layers.Conv2D(32, 3, strides=2, padding="same")(image)))
    rewritten = rewrite(keras.Model(image, layers.GlobalAveragePooling2D()(x)))
    assert largest_difference(rewritten) < EXACT
    assert len(rewritten.after) < len(rewritten.before) + 3000


def test_even_kernels_swap_their_padding():
    model = image_model(
        layers.Conv2D(6, 3, strides=2, padding="same"),
        layers.Conv2D(6, 4, padding="same", dilation_rate=2),
        layers.Conv2D(6, (2, 3), padding="same"),
        layers.GlobalAveragePooling2D(),
    )
    assert largest_difference(rewritten := rewrite(model)) < EXACT
    assert rewritten.operators["REVERSE_V2"] == 1


def test_a_shared_pad_gets_a_copy_per_convolution():
    image = keras.Input((16, 16, 3))
    padded = layers.ZeroPadding2D(1)(image)
    outputs = [layers.Conv2D(4, 3, strides=2)(padded) for _ in range(2)]
    rewritten = rewrite(keras.Model(image, layers.Add()(outputs)))
    assert largest_difference(rewritten) < EXACT
    assert rewritten.operators["PAD"] == 2
    assert rewritten.operators["REVERSE_V2"] == 0


def test_rewriting_twice_changes_nothing_more():
    once = rewrite(mobile(32))
    model = flatbuffer.parse(once.after, "once")
    again, said = rewrites.apply(model)
    twice = Rewritten(once.before, flatbuffer.pack(again), said)
    assert said == ()
    assert twice.operators == once.operators
    assert largest_difference(twice) < EXACT


def test_an_axis_knows_when_half_a_kernel_of_zeros_fits():
    same = windows.Axis(size=8, outputs=4, kernel=3, stride=2, begin=0)
    assert (same.end, same.symmetric, same.rotated.symmetric) == (1, False, True)
    assert same.rotated.rotated == same
    np.testing.assert_equal([same.rotated.begin, same.rotated.end], [1, 0])
