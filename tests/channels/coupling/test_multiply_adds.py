"""Multiply-adds of what multiplies without weights: counted by hand, or named."""

import keras
import pytest
from keras import layers, ops

from tests.channels.coupling.test_rules import draws
from tfprune import channels


def plan_of(inputs, x):
    """Return the plan for a model with two layers behind, and their own multiply-adds."""
    x = layers.Flatten()(x)
    plan = channels.plan(keras.Model(inputs, layers.Dense(2)(layers.Dense(8)(x))), 0.5)
    return plan, x.shape[-1] * 8 + 8 * 2


PRODUCTS = {
    "conv": ((8, 8, 3), lambda x: ops.conv(x, draws(3, 3, 3, 8)), 6 * 6 * 27 * 8),
    "depthwise": ((8, 8, 3), lambda x: ops.depthwise_conv(x, draws(3, 3, 3, 2)), 36 * 9 * 6),
    "separable": (
        (8, 8, 3),
        lambda x: ops.separable_conv(x, draws(3, 3, 3, 2), draws(1, 1, 6, 5)),
        36 * (9 * 6 + 6 * 5),
    ),
    "transposed": (
        (8, 8, 3),
        lambda x: ops.conv_transpose(x, draws(2, 2, 7, 3), 2, data_format="channels_last"),
        64 * 3 * 4 * 7,
    ),
    "tensordot": ((5, 6), lambda x: ops.tensordot(x, draws(6, 4), axes=1), 5 * 6 * 4),
    "axes": ((5, 6), lambda x: ops.tensordot(x, draws(5, 6), axes=2), 5 * 6),
    "inner": ((5, 6), lambda x: ops.inner(x, draws(4, 6)), 5 * 6 * 4),
}


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("first", [False, True])
def test_products_with_constants_are_counted(name, first):
    shape, product, by_hand = PRODUCTS[name]
    inputs = keras.Input(shape)
    width = shape[-1]
    x = layers.Dense(width)(inputs) if first else inputs
    plan, behind = plan_of(inputs, product(x))
    before = inputs.shape[1] * (shape[1] if len(shape) > 2 else 1) * width * width
    assert plan.before.multiply_adds == by_hand + behind + first * before
    assert plan.uncounted == ()


@pytest.mark.parametrize("first", [False, True])
def test_attention_without_a_layer_is_counted(first):
    inputs = keras.Input((5, 2, 4)), keras.Input((7, 2, 4)), keras.Input((7, 2, 4))
    made = [layers.Dense(4)(x) if first else x for x in inputs]
    plan, behind = plan_of(inputs, ops.dot_product_attention(*made))
    dense = (5 + 7 + 7) * 2 * 4 * 4
    assert plan.before.multiply_adds == 2 * 5 * 7 * (4 + 4) + behind + first * dense


def test_products_over_the_batch_are_counted_or_named():
    inputs = keras.Input(batch_shape=(2, 6))
    summed = ops.reshape(ops.vdot(inputs, draws(2, 6)), (1, 1))
    plan, behind = plan_of(inputs, inputs * summed)
    assert plan.before.multiply_adds == 6 + behind and plan.uncounted == ()
    outer = ops.reshape(ops.outer(inputs, draws(4)), (2, 24))
    plan, behind = plan_of(inputs, outer)
    assert plan.before.multiply_adds == 6 * 4 + behind and plan.uncounted == ()
    both = ops.tensordot(inputs, ops.transpose(inputs), axes=1)
    plan, _ = plan_of(inputs, both)
    assert len(plan.uncounted) == 1


class Own(layers.Layer):
    def call(self, inputs):
        return ops.matmul(inputs, ops.ones((inputs.shape[-1], 8)))

    def compute_output_shape(self, shape):
        return (*shape[:-1], 8)


class Drop(layers.Dropout):
    def call(self, inputs):
        return ops.matmul(inputs, ops.ones((inputs.shape[-1], 8)))

    def compute_output_shape(self, shape):
        return (*shape[:-1], 8)


def doubled():
    return layers.Lambda(lambda x: 2 * x, output_shape=lambda shape: shape, name="x")


UNKNOWN = {
    "own": lambda: Own(name="x"),
    "derived": lambda: Drop(0.5, name="x"),
    "Lambda": doubled,
    "wrapped": lambda: layers.TimeDistributed(Own(name="x"), name="x"),
}


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("first", [False, True])
def test_what_may_multiply_without_weights_is_named(name, first):
    inputs = keras.Input((5, 4, 3))
    plan, _ = plan_of(inputs, UNKNOWN[name]()(layers.Dense(8)(inputs) if first else inputs))
    assert plan.uncounted == ("x",)
    assert "not counted: the multiply-adds of 'x'" in str(plan)


NOTHING = {
    "flipped": layers.RandomFlip,
    "cropped": lambda: layers.CenterCrop(2, 2),
    "sorted": lambda: lambda x: ops.sort(x, axis=1),
}


@pytest.mark.parametrize("name", NOTHING)
@pytest.mark.parametrize("first", [False, True])
def test_classes_of_keras_that_multiply_nothing_are_not_named(name, first):
    inputs = keras.Input((4, 4, 3))
    plan, _ = plan_of(inputs, NOTHING[name]()(layers.Dense(8)(inputs) if first else inputs))
    assert plan.uncounted == ()
