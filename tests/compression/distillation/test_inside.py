"""Hints and attention: the one call of a layer that is watched, and what cannot be."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune

X = np.random.default_rng(0).normal(size=(16, 5)).astype("float32")
Y = np.arange(16) % 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
PAIRS = ("hints", "attention")


def parts():
    """Layers that show how often they run: statistics and a regularizer of what they make."""
    found = [
        layers.Dense(4, name="first", activity_regularizer="l2"),
        layers.BatchNormalization(name="bn"),
        layers.Dense(3, name="last"),
    ]
    return [keras.Input((5,)), *found]


def by_add():
    model = keras.Sequential()
    for part in parts():
        model.add(part)
    return model


def functional():
    inputs, *rest = parts()
    x = inputs
    for part in rest:
        x = part(x)
    return keras.Model(inputs, x)


def filled(model):
    draws = np.random.default_rng(1)
    model.set_weights([draws.uniform(0.1, 1, each.shape) for each in model.get_weights()])
    return model


def fitted(student, **options):
    distilled = tfprune.distill(student, filled(functional()), **options)
    distilled.compile("sgd", LOSS)
    return distilled.fit(X, Y, shuffle=False, verbose=0).history["loss"][0]


def test_a_layer_of_a_sequential_model_made_by_add_runs_once_a_step():
    made = [filled(model) for model in (keras.Sequential(parts()), by_add(), functional())]
    first, *others = [fitted(model, hints=[("bn", "bn")]) for model in made]
    assert others == pytest.approx([first, first], rel=1e-6)
    mean, *means = [model.get_layer("bn").moving_mean.numpy() for model in made]
    for other in means:
        np.testing.assert_allclose(other, mean, rtol=1e-6)


def test_a_layer_that_another_model_called_before_is_watched_in_the_students_call():
    shared = layers.Dense(4, name="first")
    keras.Model(elsewhere := keras.Input((5,)), shared(elsewhere))
    inputs = keras.Input((5,))
    made = shared(inputs)
    student = keras.Model(inputs, layers.Dense(3)(made))
    assert np.isfinite(fitted(student, hints=[("first", "first")]))


@pytest.mark.parametrize("sequential", [True, False])
def test_a_nested_model_is_watched_by_its_name(sequential):
    given = keras.Input((5,))
    dense = layers.Dense(4)
    inner = keras.Model(given, dense(given), name="inner")
    if sequential:
        inner = keras.Sequential([given, dense], name="inner")
    inputs = keras.Input((5,))
    student = keras.Model(inputs, layers.Dense(3)(inner(inputs)))
    teacher = keras.Sequential([keras.Input((5,)), layers.Dense(4, name="d"), layers.Dense(3)])
    distilled = tfprune.distill(student, teacher, alpha=1.0, hints=[("inner", "d")])
    distilled.compile("sgd", LOSS)
    found = distilled.compute_loss(X, Y, distilled(X, training=True), None, training=True)
    without = tfprune.distill(student, teacher, alpha=1.0)
    without.compile("sgd", LOSS)
    plain = without.compute_loss(X, Y, without(X, training=True), None, training=True)
    apart = np.square(np.asarray(inner(X)) - np.asarray(teacher.get_layer("d")(X))).mean()
    assert float(found - plain) == pytest.approx(apart, rel=1e-3)


@pytest.mark.parametrize("name", PAIRS)
def test_a_layer_that_is_called_twice_is_refused(name):
    inputs, twice = keras.Input((5,)), layers.Dense(5, name="twice")
    student = keras.Model(inputs, layers.Dense(3)(twice(twice(inputs))))
    pairs = {name: [("twice", "first")]}
    with pytest.raises(ValueError, match=f"`{name}` must name .* called once.*'twice'.*2 times"):
        tfprune.distill(student, functional(), **pairs)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_attention_of_one_place_is_refused_as_its_map_is_always_one(shape):
    def model():
        return keras.Sequential([keras.Input((*shape, 5)), layers.Dense(4, name="d")])

    with pytest.raises(ValueError, match="`attention` must name layers with places.*use `hints`"):
        tfprune.distill(model(), model(), attention=[("d", "d")])
    assert tfprune.distill(model(), model(), hints=[("d", "d")])


def test_attention_of_places_whose_number_is_not_known_is_taken():
    def model():
        return keras.Sequential([keras.Input((None, 5)), layers.Dense(4, name="d")])

    assert tfprune.distill(model(), model(), attention=[("d", "d")])
