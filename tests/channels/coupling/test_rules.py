"""What rules say of single calls: masks, arrays, equations, layers that are called twice."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from tests.support.channel_models import unsettle
from tfprune import channels
from tfprune.channels.coupling.rules import register


def draws(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def cut(inputs, x):
    """Return the parts of a plan for a model with a head, by name, once it is cut and verified."""
    model = unsettle(keras.Model(inputs, layers.Dense(2, name="head")(x)))
    plan = channels.plan(model, 0.5, scorer="random", scope="layer")
    small = channels.prune(model, plan)
    batch = [draws(2, *tensor.shape[1:]) for tensor in model.inputs]
    assert channels.verify(model, plan, small, batch if len(batch) > 1 else batch[0]) < 1e-4
    assert small.count_params() == plan.after.parameters < plan.before.parameters
    return {part.group.name: part for part in plan.groups}


def mask_of(inputs, width=6):
    return ops.greater(layers.Dense(width, name="mk")(inputs), 0.0)


def steps_of(inputs):
    """Return a mask of steps that are the channels of a layer."""
    return mask_of(layers.Flatten()(inputs))


MASKED = {
    "attention_mask": lambda x, i: layers.MultiHeadAttention(4, 4, name="x")(
        x, x, attention_mask=mask_of(i)
    ),
    "query_mask": lambda x, i: layers.MultiHeadAttention(4, 4, name="x")(
        x, x, query_mask=steps_of(i)
    ),
    "value_mask": lambda x, i: layers.MultiHeadAttention(4, 4, name="x")(
        x, x, value_mask=steps_of(i)
    ),
    "key_mask": lambda x, i: layers.MultiHeadAttention(4, 4, name="x")(x, x, key_mask=steps_of(i)),
    "grouped": lambda x, i: layers.GroupQueryAttention(4, 4, 2, name="x")(
        x, x, attention_mask=mask_of(i)
    ),
    "Attention": lambda x, i: layers.Attention(name="x")([x, x], mask=[None, steps_of(i)]),
    "AdditiveAttention": lambda x, i: layers.AdditiveAttention(name="x")(
        [x, x], [None, steps_of(i)]
    ),
    "LSTM": lambda x, i: layers.LSTM(8, name="x")(x, mask=steps_of(i)),
    "GRU": lambda x, i: layers.GRU(8, name="x")(x, mask=steps_of(i)),
    "SimpleRNN": lambda x, i: layers.SimpleRNN(8, name="x")(x, mask=steps_of(i)),
    "Bidirectional": lambda x, i: layers.Bidirectional(layers.LSTM(8), name="x")(
        x, mask=steps_of(i)
    ),
    "TimeDistributed": lambda x, i: layers.TimeDistributed(layers.Dense(8), name="x")(
        x, mask=steps_of(i)
    ),
    "Softmax": lambda x, i: layers.Softmax(axis=1, name="x")(x, mask=mask_of(i, 8)),
    "a model": lambda x, i: nested(x, layers.LSTM(8))(x, mask=steps_of(i)),
}


def nested(x, layer):
    inputs = keras.Input(x.shape[1:])
    return keras.Model(inputs, layer(inputs), name="x")


@pytest.mark.filterwarnings("ignore:Layer 'x' .* was passed an input with a mask")
@pytest.mark.parametrize("name", MASKED)
def test_channels_that_a_layer_reads_as_a_mask_stay_with_the_reason(name):
    inputs = keras.Input((6, 8))
    x = MASKED[name](layers.Dense(8, name="a")(inputs), inputs)
    parts = cut(inputs, layers.Dense(8, name="b")(x))
    assert parts["mk"].kept == parts["mk"].size
    assert set(parts["mk"].reasons) == {"'x' reads it as a mask"}
    assert parts["b"].kept == 4


def test_a_mask_of_softmax_without_channels_keeps_those_of_its_input():
    inputs, mask = keras.Input((6, 8)), keras.Input((6, 8))
    x = layers.Softmax(axis=1, name="x")(layers.Dense(8, name="a")(inputs), mask=mask > 0.0)
    parts = cut([inputs, mask], layers.Dense(8, name="b")(x))
    assert parts["a"].reasons == {"'x' combines it with what cannot be removed": 8}


def test_channels_that_a_rule_does_not_look_at_stay_with_the_reason():
    class First(layers.Layer):
        def call(self, first, second):
            return first + 0.0 * ops.sum(second)

    register(First, lambda site: [site.inputs[0]])
    inputs = keras.Input((8,))
    x = First(name="x")(layers.Dense(6, name="a")(inputs), layers.Dense(4, name="b")(inputs))
    parts = cut(inputs, x)
    assert parts["b"].reasons == {"'x' reads it, and what it does with it is not known": 4}
    assert parts["a"].kept == 3


def test_numbers_that_are_looked_up_in_a_table_stay():
    inputs = keras.Input((5,))
    numbers = ops.cast(ops.relu(layers.Dense(4, name="a")(inputs)) * 0.0, "int32")
    x = layers.Flatten()(layers.Embedding(7, 6, name="table")(numbers))
    parts = cut(inputs, layers.Dense(8, name="b")(x))
    assert parts["a"].kept == 4 and parts["table"].kept == 3


@pytest.mark.parametrize(
    ("equation", "shape", "bias", "kept"),
    [
        ("...x,xy->...y", 8, "y", 4),
        ("...x,xyz->...yz", (3, 8), "yz", 12),
        ("ab...,bc->ac...", 8, "c", 4),
    ],
)
def test_the_sizes_of_an_equation_with_an_ellipsis_are_found(equation, shape, bias, kept):
    inputs = keras.Input((5, 6))
    x = layers.EinsumDense(equation, shape, bias_axes=bias, name="e")(inputs)
    parts = cut(inputs, layers.Flatten()(x))
    assert parts["e"].kept < parts["e"].size


@pytest.mark.parametrize("equation", ["abc,c->ab", "abc,bc->ab"])
@pytest.mark.parametrize("first", [False, True])
def test_an_equation_that_makes_no_channels_is_read(equation, first):
    inputs = keras.Input((5, 6))
    x = layers.Dense(6, name="a")(inputs) if first else inputs
    x = layers.EinsumDense(equation, (5,), bias_axes="b", name="e")(x)
    parts = cut(inputs, layers.Dense(8, name="b")(x))
    assert parts["b"].kept < 8 and "e" not in parts
    assert not first or parts["a"].kept == 3


@pytest.mark.parametrize("first", [False, True])
def test_an_equation_that_scales_what_comes_in_is_read(first):
    inputs = keras.Input((6,))
    x = layers.Dense(6, name="a")(inputs) if first else inputs
    x = layers.EinsumDense("ab,b->ab", (6,), bias_axes="b", name="e")(x)
    parts = cut(inputs, layers.Dense(8, name="b")(x))
    assert parts["b"].kept < 8
    assert not first or parts["a"].kept == 3


def test_branches_that_share_a_reshape_lose_the_same_places():
    inputs, other = keras.Input((7,)), keras.Input((32,))
    reshape = layers.Reshape((4, 8))
    sides = [reshape(layers.Dense(32, name=name)(inputs)) for name in "ab"]
    x = layers.Concatenate()([layers.Flatten()(side) for side in sides])
    parts = cut(inputs, x)
    (found,) = (part for part in parts.values() if len(part.group.layers) == 2)
    assert set(found.group.layers) == {"a", "b"} and found.kept == 16
    x = layers.Concatenate()([layers.Flatten()(side) for side in (sides[0], reshape(other))])
    parts = cut([inputs, other], layers.Dense(6, name="c")(x))
    reason = f"'{reshape.name}' combines it with what cannot be removed"
    assert parts["a"].reasons == {reason: 4}


def test_a_reshape_that_is_called_in_a_way_not_known_keeps_the_channels_of_its_other_call():
    inputs, other = keras.Input((7,)), keras.Input((None, 3))
    reshape = layers.Reshape((4, 8), name="shape")
    x = layers.Flatten()(reshape(layers.Dense(32, name="a")(inputs)))
    y = layers.Flatten()(reshape(layers.Dense(4, name="b")(other)))
    x = layers.Dense(6, name="c")(layers.Concatenate()([x, y]))
    plan = channels.plan(keras.Model([inputs, other], layers.Dense(2)(x)), 0.5)
    parts = {part.group.name: part for part in plan.groups}
    assert parts["a"].reasons == {"'shape' is called in a way not known, too": 4}
    why = "'shape' reads it, and it reshapes axes of lengths that are not known"
    assert parts["b"].reasons == {why: 4}


@pytest.mark.parametrize("bound", [np.ones(8, "float32"), [1.0] * 8, keras.Variable([1.0] * 8)])
def test_channels_that_are_clipped_to_an_array_stay_with_the_reason(bound):
    inputs = keras.Input((6,))
    x = ops.clip(layers.Dense(8, name="a")(inputs), 0.0, bound)
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(8, name="b")(x)))
    plan = channels.plan(model, 0.5)
    (reason,) = plan.groups[0].reasons
    assert "reads it, and it combines channels with a constant array" in reason
    assert [part.kept for part in plan.groups] == [8, 4, 2]
    assert channels.verify(model, plan, channels.prune(model, plan)) < 1e-4


@pytest.mark.parametrize("shape", [(8, 8), (3, 8)])
def test_heads_with_outputs_on_several_axes_are_cut_along_the_last(shape):
    inputs = keras.Input((6, 8))
    x = layers.MultiHeadAttention(4, 4, output_shape=shape, name="x")(inputs, inputs)
    parts = cut(inputs, layers.Dense(8, name="b")(x))
    assert parts["x"].kept < parts["x"].size


def test_a_layer_called_along_and_across_channels_keeps_them():
    inputs = keras.Input((8, 8))
    shared = layers.Dense(8, name="shared")
    x = shared(layers.Dense(8, name="a")(inputs))
    y = layers.Permute((2, 1))(layers.Dense(8, name="b")(inputs))
    x = layers.Concatenate()([layers.Flatten()(x), layers.Flatten()(shared(y))])
    parts = cut(inputs, layers.Dense(6, name="c")(x))
    assert (parts["a"].kept, parts["shared"].kept, parts["b"].kept) == (8, 8, 4)


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("rank", [1, 2])
def test_a_convolution_with_a_group_for_each_channel_loses_them_one_by_one(multiplier, rank):
    inputs = keras.Input((9, 8, 3)[-1 - rank :])
    kind = getattr(layers, f"Conv{rank}D")
    x = kind(16, 3, padding="same", name="a")(inputs)
    x = kind(16 * multiplier, 3, groups=16, activation="relu", name="dw")(x)
    parts = cut(inputs, layers.Flatten()(kind(4, 1, name="b")(x)))
    assert (parts["a"].kept, parts["a"].group.channels.size, parts["b"].kept) == (8, 16, 2)
    assert "dw" not in parts


def test_a_convolution_with_a_group_for_each_channel_keeps_those_of_its_other_call():
    inputs, other = keras.Input((8, 3)), keras.Input((8, 6))
    shared = layers.Conv1D(12, 3, groups=6, name="dw")
    x = layers.Conv1D(6, 1, name="a")(inputs)
    x = layers.Concatenate()([shared(x), shared(other), layers.Conv1D(4, 3, name="b")(inputs)])
    parts = cut([inputs, other], layers.Flatten()(x))
    assert parts["a"].kept == 6 and parts["b"].kept == 2


READERS = {
    "Conv2D": lambda: layers.Conv2D(6, 3, name="b"),
    "Conv2DTranspose": lambda: layers.Conv2DTranspose(6, 2, strides=2, name="b"),
    "SeparableConv2D": lambda: layers.SeparableConv2D(6, 3, name="b"),
    "DepthwiseConv2D": lambda: layers.DepthwiseConv2D(3, name="b"),
    "BatchNormalization": lambda: layers.BatchNormalization(name="b"),
    "UpSampling2D": lambda: layers.UpSampling2D(2, name="b"),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("between", [False, True])
def test_channels_that_a_reshape_puts_last_go_one_by_one_where_they_are_read_so(name, between):
    inputs = keras.Input((5,))
    x = layers.Reshape((4, 4, 16))(layers.Dense(256, name="a")(inputs))
    x = READERS[name]()(layers.ReLU()(x) if between else x)
    parts = cut(inputs, layers.GlobalAveragePooling2D()(x))
    assert (parts["a"].kept, parts["a"].size, parts["a"].group.channels.size) == (128, 256, 16)


@pytest.mark.parametrize("reader", [layers.LSTM, layers.GRU])
def test_channels_that_a_reshape_puts_behind_steps_go_one_by_one(reader):
    inputs = keras.Input((5,))
    x = layers.Reshape((4, 16))(layers.Dense(64, name="a")(inputs))
    parts = cut(inputs, reader(6, name="b")(x))
    assert (parts["a"].kept, parts["a"].group.channels.size) == (32, 16)


def test_channels_that_only_go_all_at_once_stay_with_the_reason():
    inputs = keras.Input((4, 9))
    x = layers.Permute((2, 1))(layers.Dense(8, name="a")(inputs))  # channels on the axis of steps
    model = keras.Model(inputs, layers.Dense(2, name="head")(layers.LSTM(4, name="b")(x)))
    plan = channels.plan(model, 0.5)
    why = "'a' has 8 channels that only go all at once"
    assert f"1 stay: {why}" in str(plan)
    with pytest.raises(ValueError, match=rf"at most .*% can go: {why}; the model returns"):
        channels.plan(model, parameters=0.01)
