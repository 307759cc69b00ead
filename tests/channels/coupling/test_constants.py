"""Constant arrays beside channels: in calls, in the states of recurrent layers, in initializers."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from tests.channels.coupling.test_rules import cut, draws
from tfprune import channels

CONSTANT = "'x' reads it, and it combines channels with a constant array"


def followed(*shape):
    """Return inputs, and channels that are made of them."""
    inputs = keras.Input(batch_shape=(2, *shape))
    return inputs, layers.Dense(8, name="a")(inputs)


BESIDE = {
    "channels": lambda x: layers.Concatenate(name="x")([x, draws(2, 5, 2)]),
    "values": lambda x: layers.Attention(name="x")([x, ops.convert_to_tensor(draws(2, 6, 8))]),
    "variable": lambda x: layers.Add(name="x")([x, keras.Variable(draws(2, 5, 8))]),
}


@pytest.mark.parametrize("name", BESIDE)
def test_channels_beside_a_constant_array_stay_with_the_reason(name):
    inputs, x = followed(5, 3)
    parts = cut(inputs, layers.Dense(8, name="b")(layers.Flatten()(BESIDE[name](x))))
    assert parts["a"].reasons == {CONSTANT: 8} and parts["b"].kept == 4


JOINED = {
    "steps": ((2, 5, 3), lambda x: ops.concatenate([draws(2, 1, 8), x], axis=1)),
    "stacked": ((2, 3), lambda x: ops.stack([x, draws(2, 8)], axis=1)),
    "channels": ((2, 3), lambda x: ops.concatenate([x, draws(2, 3)], axis=1)),
    "one channel": ((1, 3), lambda x: ops.concatenate([x, draws(1, 1)], axis=1)),
}


@pytest.mark.parametrize("name", JOINED)
def test_operations_that_join_channels_and_a_constant_keep_them(name):
    shape, join = JOINED[name]
    inputs = keras.Input(batch_shape=shape)
    x = layers.Flatten()(join(layers.Dense(8, name="a")(inputs)))
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(8, name="b")(x)))
    plan = channels.plan(model, 0.5)
    assert [part.kept for part in plan.groups] == [8, 4, 2]
    small = channels.prune(model, plan)
    assert channels.verify(model, plan, small, draws(*shape)) < 1e-5


def test_constants_beside_what_is_not_followed_are_no_error():
    inputs = keras.Input(batch_shape=(2, 5, 3))
    x = layers.Attention(name="x")([inputs, ops.convert_to_tensor(draws(2, 6, 3))])
    x = ops.stack([layers.Flatten()(x), draws(2, 15)], axis=1)
    parts = cut(inputs, layers.Dense(8, name="b")(layers.Flatten()(x)))
    assert parts["b"].kept == 4


RECURRENT = {
    "GRU": lambda x, state: layers.GRU(6, name="x")(x, initial_state=state),
    "LSTM": lambda x, state: layers.LSTM(6, name="x")(x, initial_state=[state, state]),
    "Bidirectional": lambda x, state: layers.Bidirectional(layers.GRU(6), name="x")(
        x, initial_state=[state, state]
    ),
}


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("first", [False, True])
def test_units_that_begin_with_a_constant_state_stay_with_the_reason(name, first):
    inputs, x = followed(5, 3)
    x = RECURRENT[name](x if first else inputs, ops.ones((2, 6)))
    parts = cut(inputs, layers.Dense(8, name="b")(x))
    reason = "'x' begins with a constant state"
    (units,) = (part for part in parts.values() if reason in part.reasons)
    assert set(units.reasons) == {reason} and units.kept == units.size
    assert parts["b"].kept == 4 and (not first or parts["a"].kept == 4)


@pytest.mark.parametrize(("shape", "kept"), [((1, 4, 5, 5), 4), ((1, 1, 5, 5), 2), ((2, 5, 5), 2)])
@pytest.mark.parametrize("first", [False, True])
def test_heads_with_constant_masks_of_their_own_stay(shape, kept, first):
    inputs, x = followed(5, 8)
    x = x if first else inputs
    mask = np.tril(np.ones(shape, bool))
    x = layers.MultiHeadAttention(4, 3, name="x")(x, x, attention_mask=mask)
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(8, name="b")(x)))
    plan = channels.plan(model, 0.5, scope="layer")
    small = channels.prune(model, plan)
    assert channels.verify(model, plan, small, draws(2, 5, 8)) < 1e-5
    assert small.get_layer("x").num_heads == kept
    assert small.get_layer("b").units == 4


def test_a_constant_mask_of_steps_keeps_no_channels():
    inputs, x = followed(5, 3)
    mask = ops.convert_to_tensor(np.array([[True] * 3 + [False] * 2] * 2))
    parts = cut(inputs, layers.LSTM(6, name="x")(x, mask=mask))
    assert all(parts[name].kept == parts[name].size // 2 for name in "ax")


def test_a_constant_key_of_attention_with_heads_is_not_taken_for_the_value():
    inputs = keras.Input(batch_shape=(2, 5, 8))
    attention = layers.MultiHeadAttention(4, 3, name="x")
    x = attention(inputs, inputs, key=ops.convert_to_tensor(draws(2, 5, 8)))
    plan = channels.plan(keras.Model(inputs, layers.Dense(2)(layers.Dense(8)(x))), 0.5)
    assert plan.unknown == {"x": "its key is no tensor of the graph"}


def constant(*shape):
    return keras.initializers.Constant(draws(*shape))


def test_weights_that_started_from_arrays_are_cut_and_the_model_saves(tmp_path):
    inputs = keras.Input((5,), dtype="int32")
    x = layers.Embedding(20, 8, embeddings_initializer=constant(20, 8), name="table")(inputs)
    x = layers.BatchNormalization(gamma_initializer=constant(8))(x)
    lstm = layers.LSTM(6, return_sequences=True, recurrent_initializer=constant(6, 24))
    dense = layers.Dense(4, kernel_initializer=constant(12, 4), bias_initializer=constant(4))
    x = layers.TimeDistributed(dense)(layers.Bidirectional(lstm)(x))
    model = keras.Model(inputs, layers.Dense(2, bias_initializer=constant(2), name="head")(x))
    plan = channels.plan(model, 0.5, scope="layer")
    small = channels.prune(model, plan)
    tokens = np.arange(10).reshape(2, 5)
    assert channels.verify(model, plan, small, tokens) < 1e-5
    assert small.get_layer("table").embeddings.shape == (20, 4)
    assert isinstance(small.get_layer("head").bias_initializer, keras.initializers.Constant)
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    assert np.array_equal(loaded(tokens), small(tokens))
