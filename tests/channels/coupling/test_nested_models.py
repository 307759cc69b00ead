"""Nested models get their inputs in the order and the shapes in which Keras gives them."""

import keras
import numpy as np
import pytest
from keras import layers

from tfprune import channels
from tfprune.keras_graph.calls import layer_graph


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def by_name(call):
    """A model of two inputs, b before a, that another one calls."""
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    x = layers.Concatenate()([layers.Dense(4, name="of_a")(a), layers.Dense(5, name="of_b")(b)])
    inner = keras.Model([b, a], layers.Dense(5, name="e")(x), name="inner")
    inputs = keras.Input((3,))
    x, y = layers.Dense(6, name="x")(inputs), layers.Dense(6, name="y")(inputs)
    return keras.Model(inputs, layers.Dense(2, name="head")(call(inner, x, y)))


CALLS = {
    "in order": lambda inner, x, y: inner([y, x]),
    "by name": lambda inner, x, y: inner({"a": x, "b": y}),
    "by keyword": lambda inner, x, y: inner(inputs={"b": y, "a": x}),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_inputs_given_by_name_are_found_by_name(call, scope):
    model = by_name(call)
    plan = channels.plan(model, 0.5, scope=scope, rules=[("e/.*", None)])
    small = channels.prune(model, plan)
    assert channels.verify(model, plan, small, normal(2, 3)) < 1e-5
    readers = layer_graph(model).consumers(model.get_layer("x"))
    assert [reader.name for reader in readers] == ["of_a"]


def test_batches_given_by_name_are_found_by_name():
    a, b = keras.Input((6,), name="b"), keras.Input((6,), name="a")
    x = layers.Concatenate()([layers.Dense(8)(a), layers.Dense(6)(b)])
    model = keras.Model([a, b], layers.Dense(2, name="head")(x))
    plan = channels.plan(model, 0.5)
    small = channels.prune(model, plan)
    batch = {"b": normal(2, 6), "a": 1 + normal(2, 6)}
    assert channels.verify(model, plan, small, batch) < 1e-5
    with pytest.raises(ValueError, match="`inputs` must be a batch of numbers"):
        channels.verify(model, plan, small, {"b": normal(2, 6)})


@pytest.mark.parametrize("size, inner_shape", [(1, (5,)), (3, (5, 3, 1))])
def test_inputs_of_another_rank_are_taken_as_keras_takes_them(size, inner_shape):
    hidden = keras.Input(inner_shape)
    inner = keras.Model(hidden, layers.Dense(4, name="out")(layers.Dense(6, name="in")(hidden)))
    inputs = keras.Input((5, 3))
    before = layers.Dense(size, name="before")(inputs)
    model = keras.Model(inputs, layers.Dense(2, name="head")(inner(before)))
    plan = channels.plan(model, 0.4)
    small = channels.prune(model, plan)
    assert channels.verify(model, plan, small) < 1e-5
    assert small.get_layer("before").units == size


def test_another_model_than_the_smaller_one_is_one_clear_error():
    model = by_name(CALLS["in order"])
    plan = channels.plan(model, 0.5)
    other = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="`small` must be the smaller model .* with inputs"):
        channels.verify(model, plan, other)


def test_a_constant_may_be_given_to_a_nested_model_whose_other_channels_are_zero():
    a, b = keras.Input(batch_shape=(2, 6)), keras.Input(batch_shape=(2, 4))
    inner = keras.Model([a, b], layers.Dense(3, name="e")(layers.Concatenate()([a, b])))
    inputs = keras.Input(batch_shape=(2, 3))
    ones = layers.Dense(6, bias_initializer="ones", name="ones")
    constant = keras.ops.convert_to_tensor(normal(2, 4))
    model = keras.Model(inputs, layers.Dense(2)(inner([ones(inputs), constant])))
    ones.kernel.assign(ones.kernel * [0, 0, 1, 1, 1, 1])
    plan = channels.plan(model, 0.3)
    assert channels.verify(model, plan, channels.prune(model, plan)) < 1e-5
