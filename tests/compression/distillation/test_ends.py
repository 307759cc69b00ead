"""Probabilities and logits that show behind what keeps them, and teachers whose end is unknown."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfprune
from tfprune.compression.distillation.ends import End, ends_with_axes_of

X = np.random.default_rng(0).normal(size=(16, 5)).astype("float32")
Y = np.arange(16) % 3
KNOWN = End(logits=True)


def ended(behind, end="softmax"):
    inputs = keras.Input((5,))
    return keras.Model(inputs, behind(layers.Dense(3, end)(inputs)))


def as_steps(layer):
    return lambda tensor: layers.TimeDistributed(layer)(layers.Reshape((1, 3))(tensor))


@pytest.mark.parametrize(
    "behind",
    [
        lambda p: layers.Average()([p, layers.Dense(3, "softmax")(p)]),
        lambda p: (p + layers.Dense(3, "softmax")(p)) / 2.0,
        lambda p: ops.cast(p, "float32") * 1.0 + 1e-7,
        lambda p: layers.Rescaling(0.5)(layers.ReLU()(p)),
        lambda p: layers.Permute((1,))(p),
        lambda p: layers.GlobalAveragePooling1D()(layers.Reshape((1, 3))(p)),
        lambda p: ops.squeeze(ops.expand_dims(p, 1), 1),
        as_steps(keras.Sequential([keras.Input((3,)), layers.Softmax()])),
    ],
)
def test_a_softmax_shows_behind_what_leaves_its_ratios_or_takes_their_mean(behind):
    assert ends_with_axes_of(ended(behind)) == [End("softmax")]


@pytest.mark.parametrize(
    "behind",
    [
        lambda p: 1.0 / p,
        lambda p: 1.0 - p,
        lambda p: p * -1.0,
        lambda p: layers.Rescaling(2.0, offset=-1.0)(p),
        lambda p: layers.Average()([p, layers.Dense(3)(p)]),
        lambda p: layers.Concatenate()([p, layers.Dense(3, "softmax")(p)]),
        lambda p: layers.Lambda(lambda value: value)(p),
        lambda p: layers.Dense(3, "relu")(p),
    ],
)
def test_what_changes_a_softmax_does_not_show_as_one(behind):
    assert ends_with_axes_of(ended(behind)) == [End()]


@pytest.mark.parametrize(
    "behind",
    [
        lambda z: z,
        lambda z: 1.0 - z / 2.0,
        lambda z: layers.BatchNormalization()(z),
        lambda z: layers.UpSampling1D(2)(layers.Conv1D(3, 1)(layers.Reshape((1, 3))(z))),
        lambda z: layers.Average()([z, layers.Dense(3)(z)]),
        lambda z: ops.log_softmax(z),
        lambda z: ops.log(ops.softmax(z)),
    ],
)
def test_logits_show_as_no_probabilities(behind):
    assert ends_with_axes_of(ended(behind, None)) == [KNOWN]


def test_the_mean_of_sigmoids_is_one_and_their_multiple_is_none():
    assert ends_with_axes_of(ended(lambda p: layers.Average()([p, p]), "sigmoid"))[0].name
    assert not ends_with_axes_of(ended(lambda p: p * 2.0, "sigmoid"))[0].name


def test_the_axis_of_a_softmax_follows_a_permutation():
    inputs = keras.Input((3, 5))
    softmax = layers.Softmax()(inputs)
    for moved in (layers.Permute((2, 1))(softmax), ops.transpose(softmax, (0, 2, 1))):
        assert ends_with_axes_of(keras.Model(inputs, moved)) == [End("softmax", -2)]


class Without(keras.Model):
    """A model without a graph that ends in probabilities."""

    def __init__(self):
        super().__init__()
        self.head = layers.Dense(3, "softmax")

    def call(self, inputs):
        return self.head(inputs)


def hidden_teacher(kind):
    if kind == "without a graph":
        teacher = Without()
        teacher(X)
        return teacher
    members = [ended(lambda p: p) for _ in range(2)]
    inputs = keras.Input((5,))
    mean = layers.Lambda(lambda parts: (parts[0] + parts[1]) / 2.0, output_shape=(3,))
    merge = layers.Average() if kind == "mean" else mean
    return keras.Model(inputs, merge([member(inputs) for member in members]))


@pytest.mark.parametrize("kind", ["mean", "own mean", "without a graph"])
def test_probabilities_of_a_teacher_are_not_taken_for_logits(kind):
    student, teacher = ended(lambda p: p), hidden_teacher(kind)
    distilled = tfprune.distill(student, teacher, alpha=1.0, temperature=1.0)
    distilled.compile("sgd", "sparse_categorical_crossentropy")
    found = distilled.compute_loss(X, Y, distilled(X, training=True), None, training=True)
    p, q = np.asarray(teacher(X)), np.asarray(student(X))
    assert float(found) == pytest.approx((p * np.log(p / q)).sum(axis=-1).mean(), rel=1e-3)


def test_logits_of_a_teacher_behind_a_scale_are_not_taken_for_probabilities():
    student, teacher = ended(lambda p: p), ended(lambda z: z / 4.0, None)
    distilled = tfprune.distill(student, teacher, alpha=1.0, temperature=1.0)
    distilled.compile("sgd", "sparse_categorical_crossentropy")
    found = distilled.compute_loss(X, Y, distilled(X, training=True), None, training=True)
    p, q = np.asarray(ops.softmax(teacher(X))), np.asarray(student(X))
    assert float(found) == pytest.approx((p * np.log(p / q)).sum(axis=-1).mean(), rel=1e-3)
