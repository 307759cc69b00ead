"""RangedLayer: the layer's own computation, with ranges between its operations."""

import keras
import numpy as np
import pytest
from keras import layers

from tfprune.layer_classes.prunable import prunable_weights
from tfprune.wrapping.ranges import activation_range, attention, insides, recurrent
from tfprune.wrapping.ranges.ranged_layer import RangedLayer, has_inside, ranges_in

LAYERS = {
    "dense": layers.Dense(4, activation="gelu"),
    "silu": layers.Dense(4, activation="silu"),
    "activation": layers.Activation("silu"),
    "separable": layers.SeparableConv1D(4, 2, activation="relu", strides=2, padding="same"),
    "norm": layers.BatchNormalization(),
    "lstm": layers.LSTM(4, return_sequences=True, return_state=True, go_backwards=True),
    "gru": layers.GRU(4),
    "gru before": layers.GRU(4, reset_after=False, use_bias=False),
    "simple": layers.SimpleRNN(4, activation="relu"),
    "both": layers.Bidirectional(layers.LSTM(4)),
    "stacked": layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)]),
    "attention": layers.MultiHeadAttention(2, 3),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_without_rounding_the_layer_computes_what_it_did(kind, monkeypatch):
    monkeypatch.setattr(activation_range.ActivationRange, "rounded", lambda self, inputs: inputs)
    for module in (insides, recurrent, attention):
        monkeypatch.setattr(module, "rounded_to", lambda inputs, interval: inputs)
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 5, 3)).astype("float32")
    inputs = (x, x) if kind == "attention" else (x,)
    layer = type(LAYERS[kind]).from_config(LAYERS[kind].get_config())
    layer(*inputs)
    layer.set_weights([random.random(weight.shape) for weight in layer.get_weights()])
    expected = keras.tree.flatten(layer(*inputs))
    found = keras.tree.flatten(RangedLayer(layer)(*inputs))
    assert has_inside(layer)
    for one, other in zip(expected, found, strict=True):
        assert np.allclose(one, other, rtol=1e-5, atol=1e-6)


def test_masked_timesteps_stay_masked_inside_attention(monkeypatch):
    monkeypatch.setattr(activation_range.ActivationRange, "rounded", lambda self, inputs: inputs)
    monkeypatch.setattr(attention, "rounded_to", lambda inputs, interval: inputs)
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    layer = layers.MultiHeadAttention(2, 3)
    mask = np.arange(5)[None, None] < np.array([2, 4])[:, None, None]
    options = {"use_causal_mask": True, "attention_mask": mask}
    expected = layer(x, x, **options)
    assert np.allclose(RangedLayer(layer)(x, x, **options), expected, atol=1e-6)


def test_one_range_serves_all_time_steps_and_follows_the_largest():
    layer = RangedLayer(layers.SimpleRNN(2, kernel_initializer="ones", use_bias=False))
    x = np.array([[[1.0], [3.0], [-2.0]]], "float32")
    layer(x, training=True)
    given = ranges_in(layer)[0]
    assert (given.name, float(given.low), float(given.high)) == ("range_given", -2.0, 3.0)
    assert float(given.batches) == 1


def test_a_layer_is_itself_again_after_the_call():
    layer = layers.Dense(2, activation="gelu")
    ranged = RangedLayer(layer)
    ranged(np.ones((1, 3), "float32"))
    assert "call" not in vars(layer) and layer.activation is keras.activations.gelu


def test_layers_of_one_operation_have_no_ranges_inside():
    for layer in (layers.Dense(2, activation="relu"), layers.Conv2D(2, 1), layers.Embedding(2, 2)):
        assert not has_inside(layer)


def test_weights_come_in_the_order_in_which_the_layer_has_them_by_itself():
    layer = layers.MultiHeadAttention(2, 3)
    layer.build((None, 4, 3), (None, 4, 3))
    found = prunable_weights(RangedLayer(layer))
    assert [id(weight) for weight in found] == [id(weight) for weight in prunable_weights(layer)]
