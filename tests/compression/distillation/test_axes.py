"""Distillation of classes along another axis than the last."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tests.support.jax_session import run_on_jax
from tfprune.compression.distillation.ends import End, ends_with_axes_of

DRAWS = np.random.default_rng(0)
X = DRAWS.normal(size=(4, 3, 5)).astype("float32")
Y = np.eye(3, dtype="float32")[DRAWS.integers(0, 3, (4, 5))].transpose(0, 2, 1)


def network(*behind):
    return keras.Sequential([keras.Input((3, 5)), layers.Dense(5), *behind])


def pair(*ends):
    """Two networks and two of the same weights with ends."""
    plain = network(), network()
    ended = [network(*(end.from_config(end.get_config()) for end in ends)) for _ in plain]
    for model, source in zip(ended, plain):
        model.set_weights(source.get_weights())
    return plain, ended


def loss_of(models, loss, weights=None, **options):
    distilled = tfprune.distill(*models, alpha=1.0, temperature=1.0, **options)
    distilled.compile("sgd", loss)
    predictions = distilled(X, training=True)
    return float(distilled.compute_loss(X, Y, predictions, weights, training=True))


def apart(models, axis):
    """Divergence of the classes along an axis, of every example and place."""
    q, p = (keras.activations.softmax(model(X), axis=axis).numpy() for model in models)
    return (p * np.log(p / q)).sum(axis=axis)


@pytest.mark.parametrize(
    ("kind", "axis"),
    [
        (keras.losses.CategoricalCrossentropy, 1),
        (keras.losses.CategoricalCrossentropy, -1),
        (keras.losses.CategoricalCrossentropy, 2),
        (keras.losses.CategoricalFocalCrossentropy, 1),
        (keras.losses.CategoricalFocalCrossentropy, -2),  # TensorFlow has no -2 in the others
    ],
)
def test_classes_are_compared_along_the_axis_of_the_loss(kind, axis):
    models, _ = pair()
    found = loss_of(models, kind(from_logits=True, axis=axis))
    assert found == pytest.approx(apart(models, axis).mean(), rel=1e-4)


def test_places_beside_the_axis_of_classes_are_weighed():
    models, _ = pair()
    weights = DRAWS.uniform(0, 2, (4, 5)).astype("float32")
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, axis=1)
    wanted = (weights * apart(models, 1)).mean()
    assert loss_of(models, loss, weights) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    "ends",
    [
        [layers.Softmax(axis=1)],
        [layers.Softmax(axis=[1]), layers.Dropout(0.0)],
        [layers.Permute((2, 1)), layers.Activation("softmax"), layers.Permute((2, 1))],
        [layers.Softmax(axis=-2), layers.Reshape((3, 5))],
    ],
)
def test_a_softmax_along_another_axis_is_undone_along_it(ends):
    plain, ended = pair(*ends)
    found = loss_of(ended, keras.losses.CategoricalCrossentropy(axis=1))
    assert found == pytest.approx(apart(plain, 1).mean(), rel=1e-3)


def test_an_own_loss_takes_the_axis_of_the_softmax():
    plain, ended = pair(layers.Softmax(axis=1))
    found = loss_of(ended, lambda y, mine: keras.ops.sum(y - mine, axis=-1), compare="classes")
    assert found == pytest.approx(apart(plain, 1).mean(), rel=1e-3)


def test_labels_are_weighed_beside_the_axis_of_the_loss():
    models, _ = pair()
    q, p = (keras.activations.sigmoid(model(X)).numpy() for model in models)
    each = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean(axis=1)
    weights = DRAWS.uniform(0, 2, (4, 5)).astype("float32")
    loss = keras.losses.BinaryCrossentropy(from_logits=True, axis=1)
    assert loss_of(models, loss, weights) == pytest.approx((weights * each).mean(), rel=1e-3)


@pytest.mark.parametrize(
    ("end", "loss", "message"),
    [
        (1, keras.losses.CategoricalCrossentropy(), "-1 for the loss, -2 for the student's"),
        (2, keras.losses.CategoricalCrossentropy(axis=1), "-2 for the loss, -1 for the student's"),
        ((1, 2), keras.losses.CategoricalCrossentropy(), "several for the student's softmax"),
    ],
)
def test_several_axes_of_classes_are_refused(end, loss, message):
    _, ended = pair(layers.Softmax(axis=end))
    with pytest.raises(ValueError, match=f"one and the same axis. Received: .*{message}"):
        loss_of(ended, loss)


def test_the_axis_of_a_softmax_is_counted_from_the_last_of_what_it_is_given():
    assert ends_with_axes_of(network(layers.Softmax(axis=1))) == [End("softmax", -2)]
    each = layers.TimeDistributed(layers.Softmax(axis=1))
    assert ends_with_axes_of(network(each)) == [End("softmax", -1)]
    flat = network(layers.Softmax(axis=1), layers.Flatten())
    assert ends_with_axes_of(flat) == [End()]


def test_on_jax_sparse_targets_keep_their_meaning_along_another_axis():
    code = """
        import keras
        import numpy as np
        import tfprune
        from keras import layers, ops

        keras.utils.set_random_seed(0)
        draws = np.random.default_rng(0)
        x, y = draws.normal(size=(4, 3, 5)).astype("float32"), draws.integers(0, 3, (4, 3))
        models = [keras.Sequential([keras.Input((3, 5)), layers.Dense(3)]) for _ in range(2)]
        q, p = (ops.convert_to_numpy(ops.softmax(model(x), axis=1)) for model in models)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, axis=1)
        wanted = 0.5 * float(loss(y, models[0](x))) + 0.5 * (p * np.log(p / q)).sum(axis=1).mean()
        distilled = tfprune.distill(*models, temperature=1.0)
        distilled.compile("sgd", loss)
        found = distilled.compute_loss(x, y, models[0](x), None, training=True)
        print(abs(float(found) - wanted) < 1e-4 * wanted)
    """
    assert run_on_jax(code).split() == ["True"]
