"""Where IterativeTaylor has gates, and what stays since it has none."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.support.gate_networks import LOSS, X, Y, fit, parts
from tfprune import channels
from tfprune.channels import IterativeTaylor


def before(*normalizing):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, use_bias=False, name="before")(inputs)
    for layer in normalizing:
        x = layer(x)
    x = layers.Conv2D(16, 3, name="behind")(layers.ReLU()(x))
    return keras.Model(inputs, layers.Dense(4, name="head")(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize("groups", [4, 8, 16])
def test_a_gate_stands_behind_a_group_normalization(groups):
    norm = layers.GroupNormalization(groups, epsilon=1e-7)
    model = before(norm)
    with tf.GradientTape() as tape:
        loss = LOSS(Y, model(X, training=True))
    both = [norm.gamma, norm.beta]
    found = tape.gradient(loss, [weight.value for weight in both])
    gates = sum((weight * g).numpy() for weight, g in zip(both, found)).reshape(groups, -1)
    taylor = IterativeTaylor(model, 0.5, frequency=1, per_update=1)
    fit(model, taylor, 1, keras.optimizers.SGD(0.0), batch_size=64)
    scores = parts(taylor.plan)["before"].scores
    assert np.allclose(scores, np.square(gates.sum(axis=1)), rtol=1e-2, atol=1e-8)


@pytest.mark.parametrize(
    "norm",
    [
        lambda: layers.GroupNormalization(8, scale=False),
        lambda: layers.GroupNormalization(-1, scale=False, center=False),
        lambda: layers.GroupNormalization(8, trainable=False),
        lambda: layers.LayerNormalization(axis=(1, 2)),
        lambda: layers.UnitNormalization(axis=(1, 2)),
    ],
)
def test_channels_that_are_divided_by_their_size_and_not_scaled_stay(norm):
    plan = IterativeTaylor(before(norm()), 0.3).plan
    reasons = parts(plan)["before"].reasons
    assert sum(reasons.values()) and any("divides by its size" in why for why in reasons)


def frozen(layer):
    layer.trainable = False
    return layer


@pytest.mark.parametrize(
    "behind, stays",
    [
        (lambda: [layers.BatchNormalization(), frozen(layers.BatchNormalization())], True),
        (lambda: [frozen(layers.DepthwiseConv2D(3, bias_initializer="ones"))], True),
        (lambda: [frozen(layers.DepthwiseConv2D(3, use_bias=False))], False),
        (lambda: [layers.BatchNormalization(), frozen(layers.PReLU(shared_axes=[1, 2]))], False),
    ],
    ids=["normalization", "bias", "kernel", "slope"],
)
def test_channels_whose_zeros_a_frozen_layer_would_shift_stay(behind, stays):
    model = before(*behind())
    taylor = IterativeTaylor(model, 0.3, frequency=1, per_update=4)
    fit(model, taylor)
    part = parts(taylor.plan)["before"]
    assert bool(part.reasons) == stays and part.removed.any() != stays
    small = channels.prune(model, taylor.plan)
    assert np.allclose(model.predict(X, verbose=0), small.predict(X, verbose=0), atol=1e-5)


def test_the_class_in_place_of_an_object_is_said():
    model = before()
    model.compile("sgd", LOSS)
    with pytest.raises(TypeError, match="must hold objects.*the class IterativeTaylor"):
        model.fit(X, Y, verbose=0, callbacks=[IterativeTaylor])
