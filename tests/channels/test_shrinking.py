"""Smaller models: what every kind of layer computes without some of its channels."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from tests.support.channel_models import MODELS, unsettle
from tfprune import channels


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_the_smaller_model_computes_what_the_original_does_without_the_channels(name, scope):
    model, batch = MODELS[name]()
    unsettle(model)
    plan = channels.plan(model, 0.5, scorer="random", scope=scope)
    small = channels.prune(model, plan)
    assert channels.verify(model, plan, small, batch) < 1e-5
    assert small.count_params() == plan.after.parameters < plan.before.parameters
    assert all(part.kept < part.size for part in plan.groups if part.removed.any())
    whole, cut = (keras.tree.flatten(found(batch)) for found in (model, small))
    assert max(float(np.abs(a - b).max()) for a, b in zip(whole, cut)) > 1e-4


@pytest.mark.parametrize("name", sorted(MODELS))
def test_nothing_is_frozen_that_is_understood(name):
    model, _ = MODELS[name]()
    plan = channels.plan(model, 0.5, scorer="random")
    reasons = {reason for part in plan.groups for reason in part.reasons}
    assert not plan.unknown
    known = r"the model returns|'.*' has \d+ channels that only go all at once"
    assert [reason for reason in reasons if not re.match(known, reason)] == []


def test_layers_that_are_not_understood_are_named_with_the_reason():
    inputs = keras.Input((6, 4))
    x = layers.RNN(layers.LSTMCell(6), name="cells")(inputs)
    x = layers.SpectralNormalization(layers.Dense(7), name="spectral")(layers.Dense(8)(x))
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(6)(x)))
    plan = channels.plan(model, 0.5, scope="layer")
    assert plan.unknown == {
        "cells": "what RNN does with channels is not known",
        "spectral": "what SpectralNormalization does with channels is not known",
    }
    assert "kept as it is: 'spectral', since what SpectralNormalization does" in str(plan)
    alone = keras.Sequential([keras.Input((6, 4)), layers.RNN(layers.LSTMCell(6), name="r")])
    with pytest.raises(ValueError, match="leaves every channel of .*: 'r': what RNN does"):
        channels.plan(alone, 0.5)


def test_a_class_that_changes_the_loop_alone_says_what_it_computes():
    class Loop(layers.LSTM):
        def inner_loop(self, *args, **kwargs):
            return super().inner_loop(*args, **kwargs)

    class Declared(Loop):
        computes_as = layers.LSTM

    for kind, known in ((Loop, False), (Declared, True)):
        inputs = keras.Input((6, 4))
        model = keras.Model(inputs, layers.Dense(2)(layers.Dense(6)(kind(8, name="loop")(inputs))))
        plan = channels.plan(model, 0.5, scope="layer")
        assert ("loop" in plan.unknown) is not known
        assert [part.kept for part in plan.groups] == ([4] if known else []) + [3, 2]


def test_the_smaller_model_loads_without_the_package(tmp_path):
    model, batch = MODELS["translation_with_attention"]()
    small = channels.prune(model, channels.plan(model, 0.5))
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    assert np.array_equal(loaded(batch), small(batch))
    assert all(type(layer).__module__.startswith("keras.") for layer in small.layers)


def test_what_belongs_to_layers_is_carried_over_and_the_original_stays():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, name="a", kernel_regularizer="l2", trainable=False),
            layers.Dense(8, name="b", dtype="float64", kernel_constraint="max_norm"),
            layers.Dense(2, name="c"),
        ]
    )
    model.compile("adam", "mse", metrics=["mae"])
    before = [weight.numpy() for weight in model.weights]
    small = channels.prune(model, channels.plan(model, 0.5, scope="layer"))
    a, b, _ = small.layers
    assert (a.units, a.trainable, b.units, b.dtype) == (4, False, 4, "float64")
    assert isinstance(a.kernel_regularizer, keras.regularizers.L2)
    assert isinstance(b.kernel_constraint, keras.constraints.MaxNorm)
    assert isinstance(small.optimizer, keras.optimizers.Adam) and small.loss == "mse"
    small.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    assert all(np.array_equal(w.numpy(), old) for w, old in zip(model.weights, before))


def test_a_channel_with_zero_kernels_leaves_its_constant_to_the_next_bias():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, name="a"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(4, 3, name="b"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, name="c"),
        ]
    )
    unsettle(model)
    kernel = model.get_layer("a").kernel
    kernel.assign(kernel.numpy() * (np.arange(8) > 3))
    plan = channels.plan(model, parameters=None, sparsity=0.5, rules=[("b/.*", None)])
    small = channels.prune(model, plan)
    assert plan.exact and small.get_layer("a").filters == 4
    batch = np.random.default_rng(1).normal(size=(3, 8, 8, 3)).astype("float32")
    assert np.allclose(small(batch), model(batch), rtol=1e-5, atol=1e-6)
    assert channels.verify(model, plan, small, batch) < 1e-5


def test_the_plan_says_where_padding_keeps_a_constant_from_being_taken_over():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, name="a", bias_initializer="ones"),
            layers.Conv2D(4, 3, name="b", padding="same"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, name="c"),
        ]
    )
    kernel = model.get_layer("a").kernel
    kernel.assign(kernel.numpy() * (np.arange(8) > 3))
    plan = channels.plan(model, 0.5, rules=[("b/.*", None)])
    assert not plan.exact and plan.left_behind == ("b",)
    assert "not exact: b read what channels with zero kernels leave behind" in str(plan)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x / (1.0 + keras.ops.exp(-x)),
        lambda x: keras.ops.log(1.0 + keras.ops.exp(x)),
        lambda x: x / keras.ops.sqrt(x * x),
    ],
    ids=["quotient", "logarithm", "sign"],
)
def test_functions_without_a_value_at_zero_are_verified(function):
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(2)(function(layers.Dense(8)(inputs))))
    plan = channels.plan(model, 0.5)
    assert channels.verify(model, plan, channels.prune(model, plan)) < 1e-6


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("head", [0, 1])
def test_what_is_not_finite_in_one_of_the_models_is_a_difference_without_bound(wrong, head):
    inputs = keras.Input((3,))
    x = layers.Dense(8, name="a")(inputs)
    model = keras.Model(inputs, [layers.Dense(2, name=f"head{i}")(x) for i in range(2)])
    plan = channels.plan(model, 0.5)
    small = channels.prune(model, plan)
    small.get_layer(f"head{head}").bias.assign([0.0, wrong])
    assert channels.verify(model, plan, small, np.ones((2, 3), "float32")) == np.inf


def test_the_same_values_that_are_not_finite_are_no_difference():
    inputs = keras.Input((3,))
    x = layers.Dense(8, name="a")(inputs)
    head = layers.Dense(4, name="head")(x)
    model = keras.Model(inputs, keras.ops.sqrt(head))
    model.get_layer("head").bias.assign([-100.0, 100.0, np.inf, 100.0])
    plan = channels.plan(model, 0.5)
    small = channels.prune(model, plan)
    found = np.asarray(small(np.ones((2, 3), "float32")))
    assert np.isnan(found[:, 0]).all() and np.isinf(found[:, 2]).all()
    assert channels.verify(model, plan, small) < 1e-6
    small.get_layer("head").bias.assign([-100.0, 100.0, np.inf, 144.0])
    assert 0.1 < channels.verify(model, plan, small) < 0.3


def test_models_of_text_are_verified():
    words = layers.TextVectorization(10, output_sequence_length=4)
    words.adapt(["a b", "c d e"])
    text = keras.Input((1,), dtype="string")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(10, 8)(words(text)))
    model = keras.Model(text, layers.Dense(2)(layers.Dense(6, name="a")(x)))
    plan = channels.plan(model, 0.5)
    small = channels.prune(model, plan)
    for given in (None, np.array([["a b"], ["c f"]]), np.array([["e"]], object)):
        assert channels.verify(model, plan, small, given) < 1e-6
    with pytest.raises(ValueError, match="`inputs` must be a batch of .*Received: inputs of"):
        channels.verify(model, plan, small, np.ones((2, 1)))


def test_words_that_are_given_take_the_place_of_random_ones():
    text = keras.Input((1,), dtype="string", name="text")
    known = layers.StringLookup(vocabulary=["a", "b"], num_oov_indices=0)(text)
    model = keras.Model(text, layers.Dense(2)(layers.Flatten()(layers.Embedding(2, 8)(known))))
    plan = channels.plan(model, 0.5)
    small = channels.prune(model, plan)
    assert channels.verify(model, plan, small, np.array([["b"], ["a"]])) < 1e-6
    with pytest.raises(ValueError, match=r"`inputs` must be given .* random words for \['text'\]"):
        channels.verify(model, plan, small)


def test_a_plan_for_another_model_is_refused():
    model, other = (
        keras.Sequential([keras.Input((3,)), layers.Dense(units), layers.Dense(1)])
        for units in (8, 6)
    )
    plan = channels.plan(model, 0.5)
    with pytest.raises(ValueError, match="must be made for this model. Received: a plan for"):
        channels.prune(other, plan)
    with pytest.raises(ValueError, match="`small` must be the smaller model of this plan"):
        wide = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
        channels.verify(model, plan, wide)
    with pytest.raises(TypeError, match="`plan` must be a ChannelPlan"):
        channels.prune(model, 0.5)


def test_images_are_not_augmented_where_models_are_compared():
    inputs = keras.Input((8, 8, 3))
    x = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)])(inputs)
    x = layers.RandomZoom(0.1)(x)
    for filters in (6, 8):
        x = layers.Conv2D(filters, 3, activation="relu")(x)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalMaxPooling2D()(x)))
    plan = channels.plan(model, 0.5)
    assert channels.verify(model, plan, channels.prune(model, plan)) < 1e-5


def test_a_plan_for_other_calls_of_the_same_layers_is_refused():
    inputs, first = keras.Input((5,)), layers.Dense(8, name="first")
    features = layers.Dense(8, name="second")(first(inputs))
    outputs = layers.Dense(2, name="head")(features)
    plan = channels.plan(keras.Model(inputs, outputs), 0.5, scope="layer")
    extractor = keras.Model(inputs, [outputs, features], name="extractor")
    with pytest.raises(ValueError, match="of the layers of 'extractor'; there, the model returns"):
        channels.prune(extractor, plan)


def test_a_smaller_model_without_a_graph_is_refused():
    class Other(keras.Model):
        def call(self, inputs):
            return inputs

    model = keras.Sequential([keras.Input((5,)), layers.Dense(8), layers.Dense(2)])
    plan, other = channels.plan(model, 0.5), Other()
    other(np.ones((1, 5)))
    with pytest.raises(ValueError, match="`small` must be the smaller model of this plan"):
        channels.verify(model, plan, other)


def test_weights_that_a_function_made_from_an_array_are_cut():
    array = np.ones((5, 8), "float32")
    first = layers.Dense(8, kernel_initializer=lambda shape, dtype=None: keras.ops.array(array))
    model = keras.Sequential([keras.Input((5,)), first, layers.Dense(2)])
    plan = channels.plan(model, 0.5)
    assert channels.verify(model, plan, channels.prune(model, plan)) < 1e-6
