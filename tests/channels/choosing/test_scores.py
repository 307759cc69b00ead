"""Scores of channels that several layers make: squared sums of gates, sums over weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfprune import channels, scorers

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
COUNT, SIZE = 64, 16  # examples, and those of a micro-batch


@pytest.fixture
def data():
    random = np.random.default_rng(0)
    return random.normal(size=(COUNT, 6)).astype("float32"), np.arange(COUNT) % 3


def network(join, sizes):
    """Units with a batch normalization each, joined before the last layer."""
    inputs = keras.Input((6,))
    made = [
        layers.BatchNormalization(name=f"norm_{name}")(
            layers.Dense(units, use_bias=False, name=name)(inputs)
        )
        for name, units in sizes.items()
    ]
    model = keras.Model(inputs, layers.Dense(3)(layers.ReLU()(join(*made))))
    random = np.random.default_rng(1)
    for weight in model.weights:
        values = random.normal(size=weight.shape)
        positive = "variance" in weight.path or "gamma" in weight.path
        weight.assign(np.abs(values) if positive else 0.5 * values)
    return model


def gradients(model, data, variables):
    """The gradients of every micro-batch."""
    for start in range(0, COUNT, SIZE):
        x, y = (part[start : start + SIZE] for part in data)
        with tf.GradientTape() as tape:
            loss = LOSS(y, model(x, training=False))
        yield [found.numpy() for found in tape.gradient(loss, [v.value for v in variables])]


def gate_changes(model, data, name):
    """Loss changes without each unit of a layer, (micro-batches, units)."""
    norm = model.get_layer(f"norm_{name}")
    both = [norm.gamma, norm.beta]
    found = gradients(model, data, both)
    return np.array([sum(g * v.numpy() for g, v in zip(each, both)) for each in found])


def padded(a, b):
    return keras.ops.pad(a, [[0, 0], [0, 2]]) + b


CASES = {
    "concatenation": (
        lambda a, b, c: layers.Concatenate()([a, b]) + c,
        {"a": 4, "b": 4, "c": 8},
        lambda a, b, c: np.concatenate([a, b], 1) + c,
    ),
    "padding": (padded, {"a": 6, "b": 8}, lambda a, b: np.pad(a, [(0, 0), (0, 2)]) + b),
    "sum": (lambda a, b: a + b, {"a": 8, "b": 8}, lambda a, b: a + b),
}


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_gates_of_all_layers_are_added_up_before_they_are_squared(data, name, order):
    join, sizes, joined = CASES[name]
    model = network(join, sizes)
    scorer = scorers.Taylor(on="gates", micro_batch=SIZE, order=order)
    plan = channels.plan(model, 0.3, scorer=scorer, data=data, loss=LOSS)
    changes = joined(*(gate_changes(model, data, layer) for layer in sizes))
    found, first_order = np.sort(plan.groups[0].scores), np.square(changes).mean(axis=0)
    if order == 1:
        assert np.allclose(found, np.sort(first_order), rtol=1e-4, atol=1e-9)
    else:
        assert not np.allclose(found, np.sort(first_order), rtol=0.01)


def test_scores_of_weights_are_added_up_over_all_layers(data):
    model = network(lambda a, b: a + b, {"a": 8, "b": 8})
    scorer = scorers.Taylor(micro_batch=SIZE)
    plan = channels.plan(model, 0.3, scorer=scorer, data=data, loss=LOSS)
    kernels = [model.get_layer(name).kernel for name in ("a", "b")]
    squares = [
        [np.square(g * k.numpy()).sum(axis=0) for g, k in zip(each, kernels)]
        for each in gradients(model, data, kernels)
    ]
    expected = np.mean([first + second for first, second in squares], axis=0)
    assert np.allclose(plan.groups[0].scores, expected, rtol=1e-4)


def test_gates_that_are_missing_are_named(data):
    inputs = keras.Input((6,))
    x = layers.BatchNormalization()(layers.Dense(8, name="a")(inputs))
    x = layers.Dense(8, "relu", name="bare")(layers.ReLU()(x))
    model = keras.Model(inputs, layers.Dense(3)(x))
    with pytest.raises(ValueError, match="needs a batch normalization.*'bare/kernel' without"):
        channels.plan(model, 0.3, scorer=scorers.Taylor(on="gates"), data=data, loss=LOSS)
