"""Constants that channels with zero kernels leave behind: taken over, or named."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfprune
from tfprune import channels
from tfprune.channels.zeros import plan_zeros


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def without(layer, places, weights=("kernel",)):
    """The layer with zeros at some places of the last axis of its weights."""
    for name in weights:
        weight = getattr(layer, name)
        value = weight.numpy()
        value[..., places] = 0
        weight.assign(value)
    return layer


def images(size, behind):
    """Channels 0 and 1 of six are constant, and another layer takes them in before the head."""
    inputs = keras.Input((size, size, 3))
    ones = layers.Conv2D(6, 1, activation="relu", bias_initializer="ones", name="ones")
    x = behind(ones(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="head")(layers.GlobalAveragePooling2D()(x)))
    without(ones, [0, 1])
    return model


def depthwise(**options):
    return layers.DepthwiseConv2D(3, padding="same", use_bias=False, **options)


def summed_over_steps():
    inputs, ones = keras.Input((None, 3)), layers.Dense(6, bias_initializer="ones")
    x = ops.sum(ones(inputs), axis=1)
    without(ones, [0, 1])
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


def gated(batch_shape, gate, dtype="float32"):
    inputs = keras.Input(batch_shape=batch_shape, dtype=dtype)
    ones = layers.Dense(6, bias_initializer="ones")
    x = ones(ops.cast(inputs, "float32")) * gate(inputs)
    without(ones, [0, 1])
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


def sigmoid_of_words(inputs):
    return layers.Dense(1, "sigmoid")(layers.Flatten()(layers.Embedding(2, 3)(inputs)))


def edge_reader():
    """A Sobel filter sees nothing of a constant but at the border."""
    inputs = keras.Input((6, 6, 3))
    ones = layers.Conv2D(4, 1, bias_initializer="ones")
    reader = layers.Conv2D(1, 3, padding="same", name="head")
    model = keras.Model(inputs, reader(ones(inputs)))
    kernel = reader.kernel.numpy()
    kernel[:, :, 0, 0] = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    reader.kernel.assign(kernel)
    without(ones, [0])
    return model


def loud_at_the_border():
    constant = keras.initializers.Constant
    weights = {"depthwise_initializer": constant(-1.0), "bias_initializer": constant(7.0)}
    layer = layers.DepthwiseConv2D(3, padding="same", activation="relu", **weights)
    return images(8, lambda x: layers.Conv2D(4, 1)(layer(x)))


def read_along_another_axis():
    inputs, ones = keras.Input((5, 3)), layers.Dense(6, bias_initializer="ones")
    x = layers.Permute((2, 1))(layers.ZeroPadding1D((1, 0))(ones(inputs)))  # 6 by 6
    head = layers.EinsumDense("bct,cd->bdt", output_shape=(4, 6), name="head")
    without(ones, [0])
    return keras.Model(inputs, head(x))


def recurrent_reader():
    """The reader's own units go, and other channels that it reads."""
    inputs, ones = keras.Input((5, 3)), layers.Dense(6, "relu", name="ones")
    reader = layers.LSTM(6, bias_initializer="ones", name="reader")
    model = keras.Model(inputs, layers.Dense(2, name="head")(reader(ones(inputs))))
    without(ones, [0, 2]).bias.assign([0, 1, 1, 1, 1, 1])
    without(reader.cell, [0, 6, 12, 18], ("kernel", "recurrent_kernel"))
    return model


def part_of_a_norm():
    inputs, a = keras.Input((4,)), layers.Dense(6, name="a")
    x = layers.ReLU()(layers.UnitNormalization(name="norm")(a(inputs)))
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    without(a, [0]).bias.assign([-2.0] + [0] * 5)
    return model


NOT_EXACT = {
    "a border whose share depends on the size": lambda: images(None, depthwise()),
    "zeros around, whose share depends on the size": lambda: images(
        None, layers.ZeroPadding2D(1)
    ),
    "a sum over steps": summed_over_steps,
    "a gate, one example": lambda: gated((1, 4), layers.Dense(1, "sigmoid")),
    "a gate of words": lambda: gated((None, 1), sigmoid_of_words, "int32"),
    "a gate that is shut": lambda: gated(
        (None, 4), layers.Dense(1, "relu", bias_initializer=keras.initializers.Constant(-9.0))
    ),
    "random zeros": lambda: images(4, lambda x: layers.Dropout(0.5)(x, training=True)),
    "a reader of edges": edge_reader,
    "a border alone": loud_at_the_border,
    "another axis": read_along_another_axis,
    "a recurrent layer": recurrent_reader,
    "a norm": part_of_a_norm,
}


@pytest.mark.parametrize("name", NOT_EXACT)
def test_what_cannot_be_taken_over_is_named(name):
    model = NOT_EXACT[name]()
    plan = plan_zeros(model)
    assert not plan.exact and plan.left_behind
    assert channels.prune(model, plan).count_params() < model.count_params()


def doubled(x):
    return layers.Concatenate()([x, layers.Activation("sigmoid")(2 * x)])


def embedded():
    """Two columns of a word table are zero, and a constant behind its activation."""
    inputs, words = keras.Input((7,), dtype="int32"), layers.Embedding(2, 6, name="words")
    x = layers.Activation("sigmoid")(words(inputs))
    without(words, [0, 1], ("embeddings",))
    return keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten()(x)))


def at_every_step():
    inner = layers.Dense(6, "sigmoid")
    inputs = keras.Input((None, 3))
    x = layers.TimeDistributed(inner)(inputs)
    without(inner, [0, 1])
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


def in_a_nested_model():
    inner = keras.Sequential([keras.Input((6,)), layers.Activation("sigmoid"), layers.Dense(4)])
    ones = layers.Dense(6, bias_initializer="ones")
    inputs = keras.Input((3,))
    x = inner(ones(inputs))
    without(ones, [0, 1])
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


EXACT = {
    "any size": lambda: images(None, layers.UpSampling2D()),
    "one size": lambda: images(8, depthwise()),
    "side by side": lambda: images(4, doubled),
    "normalized": lambda: images(None, layers.BatchNormalization(beta_initializer="ones")),
    "words": embedded,
    "steps": at_every_step,
    "nested": in_a_nested_model,
}


@pytest.mark.parametrize("name", EXACT)
def test_what_is_taken_over_leaves_the_outputs_as_they_were(name):
    model = EXACT[name]()
    plan = plan_zeros(model)
    small = channels.prune(model, plan)
    (inputs,) = model.inputs
    if inputs.dtype == "int32":
        batches = [np.random.default_rng(0).integers(0, 2, (4, *inputs.shape[1:]))]
    else:
        sizes = (8, 11) if None in inputs.shape[1:] else (0,)
        batches = [normal(4, *(given or size for given in inputs.shape[1:])) for size in sizes]
    assert plan.exact and small.count_params() < model.count_params()
    for batch in batches:
        np.testing.assert_allclose(small(batch), model(batch), rtol=1e-4, atol=1e-5)


def audio(*behind, length=1):
    wave = layers.Conv1D(8, length, name="wave")
    parts = [wave, *behind, layers.Conv1D(8, 3, name="reader"), layers.GlobalAveragePooling1D()]
    return keras.Sequential([keras.Input((None, 1)), *parts, layers.Dense(2, name="head")])


@pytest.mark.parametrize("length, pooled", [(40, 1), (1, 20)])
def test_models_that_need_long_inputs_are_tried_at_longer_ones(length, pooled):
    model, batch = audio(layers.AveragePooling1D(pooled), length=length), normal(2, 400, 1)
    plan = channels.plan(model, 0.5)
    assert channels.verify(model, plan, channels.prune(model, plan), batch) < 1e-5
    without(model.get_layer("wave"), [0, 1]).bias.assign(np.ones(8))
    small = channels.prune(model, found := plan_zeros(model))
    assert found.exact
    np.testing.assert_allclose(small(batch), model(batch), rtol=1e-4, atol=1e-5)


def test_where_no_random_input_will_do_readers_are_named_and_inputs_asked_for():
    model, batch = audio(length=1100), normal(2, 1110, 1)
    plan = channels.plan(model, 0.5)
    small = channels.prune(model, plan)
    assert channels.verify(model, plan, small, batch) < 1e-5
    with pytest.raises(ValueError, match="`inputs` must be given .* Received: inputs=None, and 's"):
        channels.verify(model, plan, small)
    without(model.get_layer("wave"), [0, 1]).bias.assign(np.ones(8))
    assert plan_zeros(model).left_behind == ("reader",)


def test_a_gate_of_zero_shuts_a_frozen_layer_off():
    inputs, frozen = keras.Input((6,)), layers.Dense(8, name="frozen", trainable=False)
    norm = layers.BatchNormalization(name="norm")
    x = layers.Activation("sigmoid")(norm(frozen(inputs)))
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    model.compile("sgd", "mse")
    taylor = channels.IterativeTaylor(model, 0.5, frequency=2)
    x, y = normal(64, 6), normal(64, 2)
    model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[taylor])
    small = channels.prune(model, taylor.plan)
    assert small.get_layer("frozen").units == 4 and taylor.plan.exact
    np.testing.assert_allclose(small(x), model(x), rtol=1e-4, atol=1e-5)


def test_a_branch_that_is_zero_keeps_a_channel():
    inputs = keras.Input((4,))
    a, b, c = (layers.Dense(size, name=name) for name, size in (("a", 3), ("b", 3), ("c", 6)))
    joined = layers.concatenate([a(inputs), b(inputs)]) + c(inputs)
    model = keras.Model(inputs, layers.Dense(2)(joined))
    without(a, [0, 1, 2])
    without(c, [0, 1, 2])
    small = channels.prune(model, plan_zeros(model))
    assert small.get_layer("a").units == 1 and small.get_layer("c").units == 4
    np.testing.assert_allclose(small(x := normal(3, 4)), model(x), rtol=1e-5, atol=1e-6)


def test_masked_channels_of_images_of_any_size_say_where_they_are_not_exact():
    inputs = keras.Input((None, None, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, name="a")(inputs)))
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    model = keras.Model(inputs, layers.Dense(4, name="head")(x))
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.beta.assign(np.ones(8))
    rules = [("head/.*", None)]
    pruned, _ = tfprune.one_shot(
        model, 0.5, "magnitude", structure=tfprune.Channel(), rules=rules, verbose=False
    )
    with pytest.warns(UserWarning, match="differ a little: head cannot take over everywhere"):
        tfprune.strip_pruning(pruned, shrink=True)


def of_any_length(behind, extra=()):
    inputs, ones = keras.Input((None, *extra, 4)), layers.Dense(8, bias_initializer="ones")
    pooled = layers.GlobalAveragePooling2D if extra else layers.GlobalAveragePooling1D
    x = layers.Dense(6, name="reader")(behind(ones(inputs)))
    without(ones, [0, 1, 2, 3])
    return keras.Model(inputs, layers.Dense(2)(pooled()(x)))


@pytest.mark.parametrize(
    "model",
    [
        lambda: of_any_length(layers.DepthwiseConv1D(2, strides=2, padding="same")),
        lambda: of_any_length(layers.DepthwiseConv1D(4, strides=4, padding="same")),
        lambda: of_any_length(lambda x: layers.MaxPooling1D()(layers.ZeroPadding1D((0, 1))(-x))),
        lambda: of_any_length(lambda x: ops.sum(x[:, :6], axis=1, keepdims=True)),
        lambda: of_any_length(
            lambda x: layers.MaxPooling2D(2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(-x)), (None,)
        ),
    ],
)
def test_constants_that_only_some_lengths_share_are_named(model):
    found = plan_zeros(model())
    assert found.left_behind == ("reader",) and not found.exact


def test_constants_of_two_inputs_that_cancel_at_equal_lengths_are_named():
    inputs = [keras.Input((None, 4)), keras.Input((None, 4))]
    ones = layers.Dense(8, bias_initializer="ones")
    first, second = (ops.sum(ones(each), axis=1) for each in inputs)
    model = keras.Model(inputs, layers.Dense(2, name="reader")(first - second))
    without(ones, [0, 1, 2, 3])
    assert plan_zeros(model).left_behind == ("reader",)
