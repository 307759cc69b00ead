"""Every layer that the package names can be wrapped, trained, saved, loaded and stripped."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tests.support.helpers import fit
from tfprune.layer_classes.prunable import explain_skip, prunable_weights

IMAGE, SEQUENCE, VIDEO = (6, 6, 3), (5, 4), (3, 6, 6, 2)


def once(layer):
    return lambda x: layer(x)


def twice(layer):
    return lambda x: layer(x, x)


@keras.saving.register_keras_serializable("tests")
class MyDense(layers.Dense):
    """A subclass of a layer in the table."""


@keras.saving.register_keras_serializable("tests")
class Gain(layers.Layer):
    """A layer of a user, registered below."""

    def build(self, input_shape):
        self.gain = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gain")

    def call(self, inputs):
        return inputs * self.gain


tfprune.register_prunable(Gain, "gain")


@keras.saving.register_keras_serializable("tests")
class Projection(layers.Layer, tfprune.PrunableLayer):
    """A layer of a user that names its own weights."""

    def build(self, input_shape):
        self.matrix = self.add_weight(shape=(input_shape[-1], 4), name="matrix")

    def call(self, inputs):
        return keras.ops.matmul(inputs, self.matrix)

    def get_prunable_weights(self):
        return [self.matrix]


@keras.saving.register_keras_serializable("tests")
class Block(layers.Layer):
    """A composite layer without a `build` method."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inner = [layers.Dense(units, activation="relu"), layers.Dense(units)]

    def call(self, inputs):
        return self.inner[1](self.inner[0](inputs))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


# name -> (input shape, what is applied to the input, number of prunable weights)
CASES = {
    "Dense": ((5,), once(layers.Dense(4)), 1),
    "EinsumDense": (SEQUENCE, once(layers.EinsumDense("abc,cd->abd", (5, 6))), 1),
    "Conv1D": (SEQUENCE, once(layers.Conv1D(4, 3)), 1),
    "Conv2D": (IMAGE, once(layers.Conv2D(4, 3)), 1),
    "Conv3D": (VIDEO, once(layers.Conv3D(3, 2)), 1),
    "Conv1DTranspose": (SEQUENCE, once(layers.Conv1DTranspose(4, 3)), 1),
    "Conv2DTranspose": (IMAGE, once(layers.Conv2DTranspose(4, 3)), 1),
    "Conv3DTranspose": (VIDEO, once(layers.Conv3DTranspose(3, 2)), 1),
    "DepthwiseConv1D": (SEQUENCE, once(layers.DepthwiseConv1D(3)), 1),
    "DepthwiseConv2D": (IMAGE, once(layers.DepthwiseConv2D(3)), 1),
    "SeparableConv1D": (SEQUENCE, once(layers.SeparableConv1D(4, 3)), 2),
    "SeparableConv2D": (IMAGE, once(layers.SeparableConv2D(4, 3)), 2),
    "Embedding": ((7,), once(layers.Embedding(10, 4)), 1),
    "ReversibleEmbedding": ((7,), once(layers.ReversibleEmbedding(10, 4)), 1),
    "MultiHeadAttention": (SEQUENCE, twice(layers.MultiHeadAttention(2, 4)), 4),
    "GroupedQueryAttention": (SEQUENCE, twice(layers.GroupQueryAttention(4, 4, 2)), 4),
    "SimpleRNN": (SEQUENCE, once(layers.SimpleRNN(6)), 2),
    "LSTM": (SEQUENCE, once(layers.LSTM(6, return_sequences=True)), 2),
    "GRU": (SEQUENCE, once(layers.GRU(6)), 2),
    "RNN over a cell": (SEQUENCE, once(layers.RNN(layers.SimpleRNNCell(4))), 2),
    "RNN over stacked cells": (
        SEQUENCE,
        once(layers.RNN(layers.StackedRNNCells([layers.LSTMCell(4), layers.GRUCell(3)]))),
        4,
    ),
    "ConvLSTM2D": (VIDEO, once(layers.ConvLSTM2D(3, 2)), 2),
    "Bidirectional": (SEQUENCE, once(layers.Bidirectional(layers.LSTM(3))), 4),
    "TimeDistributed": (SEQUENCE, once(layers.TimeDistributed(layers.Dense(3))), 1),
    "a subclass": ((5,), once(MyDense(4)), 1),
    "a registered layer": ((5,), once(Gain()), 1),
    "a PrunableLayer": ((5,), once(Projection()), 1),
    "a composite layer": ((5,), once(Block()), 2),
}


# Keras itself warns when it loads a composite layer that has no `build`.
@pytest.mark.filterwarnings("ignore:`build..` was called on layer 'block:UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_layer_is_pruned_trained_saved_and_stripped(name, tmp_path):
    shape, apply, count = CASES[name]
    inputs = keras.Input(shape, dtype="int32" if "Embedding" in name else "float32")
    hidden = layers.Flatten()(apply(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="final")(hidden))
    random = np.random.default_rng(0)
    x = (
        random.integers(0, 9, (16, *shape))
        if "Embedding" in name
        else random.normal(size=(16, *shape))
    ).astype(inputs.dtype)
    pruned = tfprune.prune(model, tfprune.OneShot(0.5), rules=[("final/.*", None)])
    fit(pruned, (x, np.ones((16, 2))), optimizer="adam")

    stripped = tfprune.strip_pruning(pruned)
    weights = [w for w in prunable_weights(stripped) if "final" not in w.path]
    assert len(weights) == count
    for weight in weights:
        size = weight.numpy().size
        assert np.count_nonzero(weight.numpy()) == max(1, round(size / 2))
    expected = pruned.predict(x, verbose=0)
    assert np.array_equal(stripped.predict(x, verbose=0), expected)

    pruned.save(tmp_path / "pruned.keras")
    loaded = keras.saving.load_model(tmp_path / "pruned.keras")
    assert np.array_equal(loaded.predict(x, verbose=0), expected)


def test_a_layer_with_nothing_to_prune_is_skipped_with_a_reason():
    inputs = keras.Input((6,))
    norm = layers.BatchNormalization()
    model = keras.Model(inputs, layers.Dense(3)(norm(inputs)))
    pruned = tfprune.prune(model, tfprune.OneShot(0.5))
    kinds = [type(layer).__name__ for layer in pruned.layers]
    assert kinds == ["InputLayer", "BatchNormalization", "PrunedLayer"]
    assert "BatchNormalization has only small weights" in explain_skip(norm)


def test_a_quantized_layer_says_why_it_is_skipped(mlp):
    mlp.layers[0].quantize("int8")
    assert prunable_weights(mlp.layers[0]) == []
    assert "cannot be masked" in explain_skip(mlp.layers[0])


def test_an_unknown_layer_says_what_to_do():
    class Bias(layers.Layer):
        def build(self, input_shape):
            self.bias = self.add_weight(shape=(3,))

    layer = Bias()
    layer.build((None, 3))
    assert "register_prunable" in explain_skip(layer)


def test_register_prunable_refuses_what_is_no_layer():
    with pytest.raises(TypeError, match="layer_class='Dense'"):
        tfprune.register_prunable("Dense", "kernel")
    with pytest.raises(ValueError, match="at least one attribute"):
        tfprune.register_prunable(MyDense)


@pytest.mark.parametrize(
    "name, size, eagerly",
    [
        ("MobileNet", 32, False),
        # Tracing it takes most of the time, and what it could show the one before has shown.
        ("EfficientNetB0", 32, True),
    ],
)
def test_whole_keras_applications_wrap_train_one_step_and_strip(name, size, eagerly):
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=10)
    pruned = tfprune.prune(model, tfprune.OneShot(0.5))
    x = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype("float32")
    # Normalized over two images of 1 x 1 pixels, gradients explode.
    optimizer = keras.optimizers.SGD(1e-6, clipnorm=1.0)
    fit(pruned, (x, np.zeros((2, 10))), optimizer=optimizer, run_eagerly=eagerly)
    stripped = tfprune.strip_pruning(pruned)
    assert type(stripped) is type(model) and stripped.name == model.name
    weights = prunable_weights(stripped)
    assert len(weights) == len(prunable_weights(model)) > 10
    kept = sum(np.count_nonzero(w.numpy()) for w in weights)
    assert kept / sum(w.numpy().size for w in weights) == pytest.approx(0.5, abs=1e-3)
    stripped.compile(run_eagerly=eagerly)
    outputs = stripped.predict(x, verbose=0)
    assert np.isfinite(outputs).all()
    assert np.array_equal(outputs, pruned.predict(x, verbose=0))
    keras.backend.clear_session()
