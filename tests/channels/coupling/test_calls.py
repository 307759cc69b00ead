"""Ways to call what has a rule: by keyword, without an axis, with shapes that count channels."""

import keras
import pytest
from keras import layers, ops

from tests.channels.coupling.test_rules import cut, draws
from tests.support.channel_models import unsettle
from tfprune import channels
from tfprune.channels.coupling.rules import register


def test_sequences_by_keyword_are_told_from_the_states():
    inputs, wide = keras.Input((6, 4)), keras.Input((5,))
    begin = [layers.Dense(7, name=name)(wide) for name in "hc"]
    x = layers.Dense(9, name="a")(inputs)
    x = layers.LSTM(7, name="x")(initial_state=begin, sequences=x)
    parts = cut([inputs, wide], x)
    assert parts["a"].kept < 9
    (states,) = (part for part in parts.values() if part.size == 7)
    assert {"h", "c"} <= set(states.group.layers) and states.kept < 7


def test_sequences_by_keyword_are_told_from_the_states_of_both_directions():
    inputs, wide = keras.Input((6, 4)), keras.Input((5,))
    begin = [layers.Dense(7, name=name)(wide) for name in "hc"]
    x = layers.Dense(9, name="a")(inputs)
    both = layers.Bidirectional(layers.GRU(7), name="x")
    parts = cut([inputs, wide], both(initial_state=begin, sequences=x))
    assert parts["a"].kept < 9 and parts["h"].kept < 7


def test_tensors_by_keyword_have_the_order_of_the_call():
    class First(layers.Layer):
        def call(self, first, again):
            return first + 0.0 * ops.sum(again)

    register(First, lambda site: [site.inputs[0]])
    inputs = keras.Input((6,))
    a, b = layers.Dense(8, name="a")(inputs), layers.Dense(5, name="b")(inputs)
    parts = cut(inputs, First(name="x")(again=b, first=a))
    assert (parts["a"].kept, parts["b"].kept) == (4, 5)


NOISE = {
    "channels": lambda x: layers.Dropout(0.5, noise_shape=(None, 1, 8))(x),
    "steps": lambda x: layers.Dropout(0.5, noise_shape=(None, 5, 1))(x),
    "both": lambda x: layers.AlphaDropout(0.5, noise_shape=(2, 5, 8))(x),
    "each step": lambda x: layers.TimeDistributed(layers.Dropout(0.5, noise_shape=(None, 8)))(x),
}


@pytest.mark.parametrize("name", NOISE)
def test_the_smaller_model_trains_where_noise_has_a_shape(name):
    inputs = keras.Input(batch_shape=(2, 5, 3))
    x = NOISE[name](layers.Dense(8, name="a")(inputs))
    model = unsettle(keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x))))
    plan = channels.plan(model, 0.5)
    small = channels.prune(model, plan)
    assert plan.groups[0].kept == 4
    small.compile("sgd", "mse")
    small.fit(draws(2, 5, 3), draws(2, 2), batch_size=2, verbose=0)


def test_branches_that_share_noise_lose_the_same_channels():
    inputs, other = keras.Input((5, 3)), keras.Input((5, 8))
    noise = layers.Dropout(0.5, noise_shape=(None, 1, 8), name="noise")
    x = layers.Concatenate()([noise(layers.Dense(8, name=name)(inputs)) for name in "ab"])
    (part,) = (part for part in cut(inputs, x).values() if len(part.group.layers) == 2)
    assert set(part.group.layers) == {"a", "b"} and part.kept == 4
    x = layers.Concatenate()([noise(layers.Dense(8, name="a")(inputs)), noise(other)])
    parts = cut([inputs, other], layers.Dense(6, name="c")(x))
    assert parts["a"].reasons == {"'noise' combines it with what cannot be removed": 8}


def test_numbers_that_are_not_zero_are_counted_channel_by_channel():
    inputs = keras.Input((5, 3))
    x = ops.count_nonzero(ops.relu(layers.Dense(8, name="a")(inputs)), axis=1)
    assert cut(inputs, ops.cast(x, "float32"))["a"].kept == 4


@pytest.mark.parametrize("function", [ops.softmax, ops.log_softmax])
def test_a_softmax_over_everything_keeps_channels_with_the_reason(function):
    inputs = keras.Input((5, 3))
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(6)(function(inputs, axis=None))))
    assert channels.plan(model, 0.5).groups[0].kept == 3
    x = function(layers.Dense(8, name="a")(inputs), axis=None)
    (reason,) = cut(inputs, layers.Dense(6, name="b")(x))["a"].reasons
    assert reason.endswith("reads it, and it computes over channels and the batch")


def test_the_last_channel_is_not_squeezed_away():
    inputs = keras.Input((5, 3))
    x = layers.Dense(2, name="a")(inputs)
    x = ops.squeeze(layers.GlobalAveragePooling1D(keepdims=True)(x))
    parts = cut(inputs, layers.Dense(6, name="b")(x))
    assert parts["a"].kept == 1 and parts["b"].kept == 3


@pytest.mark.parametrize("axis", [1, -2, (1,)])
def test_channels_beside_a_normalized_axis_go_one_by_one(axis):
    inputs = keras.Input((5, 3))
    x = layers.LayerNormalization(axis=axis, name="x")(layers.Dense(8, name="a")(inputs))
    assert cut(inputs, layers.Dense(6, name="b")(x))["a"].kept == 4


def test_slopes_of_positions_do_not_couple_channels():
    inputs = keras.Input((5, 3))
    x = layers.PReLU(shared_axes=[2], name="x")(layers.Dense(8, name="a")(inputs))
    assert cut(inputs, x)["a"].kept == 4
