"""Copies of models: functions, classes, vocabularies and paths are those of the original."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfprune
from tests.support.helpers import NamedByCount
from tfprune.keras_graph.copying import also_known, copy_layer
from tfprune.keras_graph.rebuilding import rebuild

STEADY = tfprune.ConstantSparsity(0.5, 0)
LATER = tfprune.ConstantSparsity(0.5, 10)  # what is stripped before is dense
FLOATS = np.linspace(-1, 1, 24, dtype="float32")


def bent(x):
    return keras.ops.tanh(x) * 1.5


def adapted(layer, data):
    layer.adapt(data)
    return layer


def words(make):
    """A classifier of three words, or numbers, behind a layer that looks them up."""
    lookup, batch = make()
    inputs = keras.Input(batch.shape[1:], dtype=batch.dtype)
    embedded = layers.Embedding(20, 4, name="table")(lookup(inputs))
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(embedded))), batch


LOOKUPS = {
    "text": lambda: (
        adapted(layers.TextVectorization(20, output_sequence_length=5), ["a b c", "d e a"]),
        tf.constant([["a b"], ["d unknown"]]),
    ),
    "strings": lambda: (
        adapted(layers.StringLookup(), ["a", "b"]),
        tf.constant([["a", "b", "unknown"]]),
    ),
    "integers": lambda: (adapted(layers.IntegerLookup(), [5, 7, 9]), tf.constant([[5, 9, 1]])),
    "hashes": lambda: (layers.Hashing(20), tf.constant([["a", "b", "unknown"]])),
}

FUNCTIONS = {
    "activation": lambda: layers.Dense(3, activation=bent),
    "lambda": lambda: layers.Dense(3, activation=lambda x: 2 * x),
    "partial": lambda: layers.Dense(3, activation=functools.partial(keras.ops.multiply, 2.0)),
    "layer": lambda: layers.Activation(lambda x: 2 * x),
    "initializer": lambda: layers.Dense(
        3, kernel_initializer=lambda shape, dtype=None: keras.ops.full(shape, 0.5, dtype)
    ),
    "regularizer": lambda: layers.Dense(3, kernel_regularizer=lambda w: keras.ops.sum(w * w)),
    "constraint": lambda: layers.Dense(3, kernel_constraint=lambda w: keras.ops.clip(w, -1, 1)),
    "inside": lambda: layers.TimeDistributed(layers.Dense(3, activation=lambda x: 2 * x)),
    "cell": lambda: layers.LSTM(3, activation=bent, recurrent_activation=lambda x: x),
}

OF_WEIGHTS = ("regularizer", "constraint")


@pytest.mark.parametrize("make", LOOKUPS.values(), ids=LOOKUPS)
def test_a_copy_has_the_vocabulary_of_the_original(make):
    model, batch = words(make)
    pruned = tfprune.prune(model, LATER)
    expected = model.predict(batch, verbose=0)
    assert np.array_equal(pruned.predict(batch, verbose=0), expected)
    stripped = tfprune.strip_pruning(pruned)
    assert np.array_equal(stripped.predict(batch, verbose=0), expected)


@pytest.mark.parametrize(
    "make",
    [
        # An older Keras takes no plain functions in these places.
        pytest.param(make, id=name, marks=[pytest.mark.newest_keras] * (name in OF_WEIGHTS))
        for name, make in FUNCTIONS.items()
    ],
)
def test_a_model_with_plain_functions_is_pruned_trained_and_stripped(make):
    layer = make()
    x = FLOATS.reshape((2, 3, 4) if layer.name.startswith(("time", "lstm")) else (6, 4))
    model = keras.Sequential([keras.Input(x.shape[1:]), layers.Dense(3, name="in"), layer])
    before = {name: value for name, value in vars(layer).items() if callable(value)}
    pruned = tfprune.prune(model, STEADY)
    assert np.allclose(pruned.predict(x, verbose=0), model.predict(x, verbose=0))
    assert before == {name: value for name, value in vars(layer).items() if callable(value)}
    pruned.compile("sgd", "mse")
    updates = [tfprune.UpdatePruningStep()]
    pruned.fit(x, model.predict(x, verbose=0), verbose=0, callbacks=updates)
    plain = tfprune.strip_pruning(pruned)
    assert np.allclose(plain.predict(x, verbose=0), pruned.predict(x, verbose=0))
    assert np.mean(plain.get_layer("in").kernel.numpy() == 0) == 0.5


def test_two_functions_of_one_name_stay_apart():
    def of(factor):
        def scaled(x):
            return factor * x

        return scaled

    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, activation=of(2)), layers.Dense(3, activation=of(-1))]
    )
    x = FLOATS.reshape(6, 4)
    copy = tfprune.strip_pruning(tfprune.prune(model, LATER))
    assert np.array_equal(copy.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_wrapped_layer_with_a_lambda_trains_and_is_stripped():
    layer = tfprune.PrunedLayer(layers.Dense(3, activation=lambda x: 2 * x), STEADY)
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile("sgd", "mse")
    x, y = FLOATS.reshape(6, 4), FLOATS[:18].reshape(6, 3)
    model.fit(x, y, verbose=0, callbacks=[tfprune.UpdatePruningStep()])
    assert np.mean(tfprune.strip_pruning(model).layers[0].kernel.numpy() == 0) == 0.5


def test_a_function_that_keras_knows_is_named_in_the_copy_as_before():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu")])
    copy = tfprune.strip_pruning(tfprune.prune(model, LATER))
    assert copy.layers[0].get_config() == model.layers[0].get_config()


class Scaled(layers.Layer):
    """A layer whose config holds another by its class."""

    def __init__(self, inner="Inner", **kwargs):
        super().__init__(**kwargs)
        self.name_of_inner = inner
        self.inner = keras.saving.get_registered_object(inner)()

    def call(self, inputs):
        return self.inner(inputs)

    def get_config(self):
        return {**super().get_config(), "inner": self.name_of_inner}


class Inner(layers.Layer):
    def call(self, inputs):
        return 3 * inputs


def test_the_scope_that_a_user_is_in_holds_while_a_model_is_copied():
    with keras.saving.custom_object_scope({"Renamed": Inner}):
        model = keras.Sequential([keras.Input((4,)), layers.Dense(3), Scaled("Renamed")])
        copy = tfprune.strip_pruning(tfprune.prune(model, LATER))
        assert keras.saving.get_registered_object("Renamed") is Inner
    assert keras.saving.get_registered_object("Renamed") is None
    x = FLOATS.reshape(6, 4)
    assert np.array_equal(copy.predict(x, verbose=0), model.predict(x, verbose=0))


def test_an_own_scope_does_not_hide_the_one_around_it():
    with keras.saving.custom_object_scope({"A": Inner}), also_known({"B": Scaled}):
        found = [keras.saving.get_registered_object(name) for name in "AB"]
    assert found == [Inner, Scaled]


def test_a_copy_keeps_paths_that_keras_counts_and_so_does_its_training():
    model = NamedByCount()
    model(np.ones((1, 3)))
    paths = [weight.path for weight in model.weights]
    copy = rebuild(model, lambda layer, twin: twin)
    assert [layer.name for layer in copy.layers] != [layer.name for layer in model.layers]
    copy.compile("adam", "mse")
    copy.fit(np.ones((2, 3)), np.ones((2, 2)), verbose=0)
    assert [weight.path for weight in copy.weights] == paths


def test_an_operation_with_arrays_is_copied_with_them():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.ops.clip(inputs, 0.0, np.array([1.0, 2.0], "float32")))
    clip = model.operations[-1]
    copy = copy_layer(clip)
    assert type(copy) is type(clip) and copy is not clip and copy.name == clip.name
    assert np.array_equal(copy(np.array([[3.0, 3.0]], "float32")), [[1.0, 2.0]])


@pytest.mark.parametrize("subclassed", [False, True])
def test_a_frozen_model_inside_stays_frozen(subclassed):
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(8, name="a")], name="inner")
    if subclassed:
        inner = NamedByCount(name="inner")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2, name="head")(inner(inputs)))
    inner.trainable = False
    pruned = tfprune.prune(model, STEADY)
    for copy in (pruned, tfprune.strip_pruning(pruned)):
        assert [layer.trainable for layer in copy.layers[1:]] == [False, True]
        assert len(copy.trainable_variables) == 2
