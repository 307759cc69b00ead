"""Multiply-adds of nested models that leave lengths open count at those they are called at."""

import keras
import pytest
from keras import layers, ops

from tfprune import channels


def pictures(shape):
    inputs = keras.Input(shape)
    x = layers.ReLU()(layers.Conv2D(16, 3, padding="same")(inputs))
    x = layers.ReLU()(layers.DepthwiseConv2D(3, strides=2, padding="same")(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(32, 1)(x))
    return keras.Model(inputs, x), keras.Input((16, 12, 3))


def sequences(shape):
    inputs = keras.Input(shape)
    x = layers.LSTM(5, return_sequences=True)(layers.Dense(12, "relu")(inputs))
    x = layers.MultiHeadAttention(2, 4)(x, x)
    return keras.Model(inputs, layers.GlobalAveragePooling1D()(x)), keras.Input((9, 8))


def not_known(shape):
    inputs = keras.Input(shape)
    x = layers.Conv1DTranspose(6, 3, strides=2)(layers.Dense(4)(inputs))
    return keras.Model(inputs, layers.GlobalMaxPooling1D()(ops.cumsum(x, -1))), keras.Input((9, 8))


def inside(body, inputs, depth):
    for _ in range(depth):
        outer = keras.Input(body.input_shape[1:])
        body = keras.Model(outer, layers.Identity()(body(outer)))
    keras.utils.set_random_seed(0)
    x = layers.Dense(10)(layers.Dense(64, "relu")(body(inputs)))
    return keras.Model(inputs, x)


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize(
    "build, opened",
    [(pictures, (None, None, 3)), (sequences, (None, 8)), (not_known, (None, 8))],
    ids=["pictures", "sequences", "not known"],
)
def test_a_budget_is_met_at_the_lengths_that_the_nested_model_is_called_at(build, opened, depth):
    inputs = build(opened)[1]
    plans = [
        channels.plan(inside(build(shape)[0], inputs, depth), macs=0.5)
        for shape in (opened, inputs.shape[1:])
    ]
    assert plans[0].before == plans[1].before and plans[0].uncounted == plans[1].uncounted == ()
    for plan in plans:
        assert plan.after.multiply_adds / plan.before.multiply_adds == pytest.approx(0.5, rel=0.03)


def test_each_call_counts_at_its_own_length():
    inputs = keras.Input((None, 8))
    body = keras.Model(inputs, layers.Dense(6)(layers.Dense(12)(inputs)))
    first, second = keras.Input((10, 8)), keras.Input((20, 8))
    x = ops.mean(body(first), 1) + ops.mean(body(second), 1)
    model = keras.Model([first, second], layers.Dense(2)(x))
    plan = channels.plan(model, 0.5)
    assert plan.before.multiply_adds == 30 * (8 * 12 + 12 * 6) + 6 * 2
    assert channels.verify(model, plan, channels.prune(model, plan)) < 1e-5
