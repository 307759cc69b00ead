"""Places that a loss leaves out, and losses that are no mean."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfprune
from tests.support.jax_session import run_on_jax

DRAWS = np.random.default_rng(0)
X = DRAWS.normal(size=(4, 5, 3)).astype("float32")
Y = DRAWS.integers(0, 3, (4, 5))  # class 0 is padding
WEIGHTS = DRAWS.uniform(0, 2, (4, 5)).astype("float32")


def pair():
    return [keras.Sequential([keras.Input((5, 3)), layers.Dense(3)]) for _ in range(2)]


def loss_of(models, loss, weights=None, y=Y):
    distilled = tfprune.distill(*models, alpha=1.0, temperature=1.0)
    distilled.compile("sgd", loss)
    predictions = distilled(X, training=True)
    return float(distilled.compute_loss(X, y, predictions, weights, training=True))


def apart(models):
    """Divergence of every place of every example."""
    q, p = (keras.activations.softmax(model(X)).numpy() for model in models)
    return (p * np.log(p / q)).sum(axis=-1)


def cross_entropy(**options):
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, **options)


@pytest.mark.parametrize("y", [Y, Y[..., None], Y.astype("float32")])
def test_places_of_the_ignored_class_do_not_count(y):
    models = pair()
    found = loss_of(models, cross_entropy(ignore_class=0), y=y)
    assert found == pytest.approx(apart(models)[Y != 0].mean(), rel=1e-4)


def test_weights_count_where_no_class_is_ignored():
    models = pair()
    found = loss_of(models, cross_entropy(ignore_class=0), WEIGHTS)
    assert found == pytest.approx((WEIGHTS * apart(models))[Y != 0].mean(), rel=1e-4)


def test_a_batch_of_nothing_but_the_ignored_class_is_worth_nothing():
    assert loss_of(pair(), cross_entropy(ignore_class=0), y=np.zeros_like(Y)) == 0.0


def test_several_outputs_ignore_each_its_own():
    inputs = keras.Input((5, 3))
    ends = [[layers.Dense(3, name=name)(inputs) for name in "ab"] for _ in range(2)]
    models = [keras.Model(inputs, dict(zip("ab", end))) for end in ends]
    losses = {"a": cross_entropy(), "b": cross_entropy(ignore_class=1)}
    (a, b), (c, d) = (
        [keras.activations.softmax(value).numpy() for value in model(X).values()]
        for model in models
    )
    first, second = ((p * np.log(p / q)).sum(axis=-1) for q, p in ((a, c), (b, d)))
    found = loss_of(models, losses, y={"a": Y, "b": Y})
    assert found == pytest.approx(first.mean() + second[Y != 1].mean(), rel=1e-4)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("ignored", [None, 0])
@pytest.mark.parametrize("reduction", ["sum", "mean", "mean_with_sample_weight"])
def test_a_teacher_is_reduced_as_the_loss_is(reduction, ignored, weights):
    class Apart(keras.losses.Loss):
        """The divergence as a loss of Keras's own reduction, with the places masked by hand."""

        def call(self, y_true, y_pred):
            return y_pred

    models = pair()
    each = apart(models)
    counted = (Y != 0) if ignored == 0 else np.ones_like(Y, bool)
    # What is masked has weight 0; means are over what counts.
    weight = counted * (1.0 if weights is None else weights)
    if reduction == "mean":
        weight = weight * counted.size / counted.sum()
    wanted = float(Apart(reduction=reduction)(each, each, sample_weight=weight.astype("float32")))
    found = loss_of(models, cross_entropy(reduction=reduction, ignore_class=ignored), weights)
    assert found == pytest.approx(wanted, rel=1e-4)


def test_the_share_of_the_teacher_does_not_depend_on_the_reduction():
    models = pair()
    shares = []
    for reduction in ("sum", "sum_over_batch_size"):
        own = float(cross_entropy(reduction=reduction)(Y, models[0](X)))
        shares.append(loss_of(models, cross_entropy(reduction=reduction)) / own)
    assert shares[0] == pytest.approx(shares[1], rel=1e-4)


def test_means_are_divided_among_replicas_as_keras_divides_its_own(monkeypatch):
    def models():
        inputs = keras.Input((5, 3))
        hidden = layers.Dense(4, kernel_regularizer="l2", name="h")(inputs)
        return keras.Model(inputs, layers.Dense(3)(hidden))

    pairs = [("h", "h")]
    student, teacher = models(), models()
    distilled = tfprune.distill(student, teacher, hints=pairs, attention=pairs)
    distilled.compile("sgd", cross_entropy())
    predictions = distilled(X, training=True)
    alone = float(distilled.compute_loss(X, Y, predictions, WEIGHTS, training=True))
    among = types.SimpleNamespace(num_replicas_in_sync=2)
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: among)
    found = float(distilled.compute_loss(X, Y, predictions, WEIGHTS, training=True))
    assert found == pytest.approx(alone / 2, rel=1e-5)


def test_on_jax_masked_places_do_not_count_and_a_teacher_that_changes_teaches_what_it_gives_then():
    code = """
        import keras
        import numpy as np
        import tfprune
        from keras import layers, ops

        keras.utils.set_random_seed(0)
        x = np.random.default_rng(0).integers(1, 9, (5, 6))
        x[:, 2:] = 0
        y = np.zeros((5, 6), int)

        def tagger():
            drawn = keras.initializers.RandomNormal(stddev=2.0)
            words = layers.Embedding(9, 4, drawn, mask_zero=True)
            return keras.Sequential([keras.Input((6,), dtype="int32"), words, layers.Dense(3)])

        student, teacher = tagger(), tagger()
        q, p = (ops.convert_to_numpy(ops.softmax(model(x))) for model in (student, teacher))
        wanted = (p * np.log(p / q)).sum(axis=-1)[:, :2].mean()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        distilled = tfprune.distill(student, teacher, temperature=1.0, alpha=1.0)
        distilled.compile(keras.optimizers.SGD(0.0), loss)
        fit = lambda *callbacks: distilled.fit(
            x, y, batch_size=5, epochs=2, verbose=0, callbacks=[*callbacks]
        ).history["loss"]
        print(abs(fit()[0] - wanted) < 1e-4 * wanted)

        class Follow(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                teacher.set_weights(self.model.student.get_weights())

        before, after = fit(Follow())
        print(abs(before - wanted) < 1e-4 * wanted, abs(after) < 1e-6, abs(fit()[0]) < 1e-6)
        print(len(distilled.weights) == len(student.weights))
    """
    assert run_on_jax(code).split() == ["True"] * 5


def test_on_jax_too_in_a_compiled_step():
    code = """
        import keras
        import numpy as np
        import tfprune

        keras.utils.set_random_seed(0)
        draws = np.random.default_rng(0)
        x, y = draws.normal(size=(4, 5, 3)).astype("float32"), draws.integers(0, 3, (4, 5))
        models = [
            keras.Sequential([keras.Input((5, 3)), keras.layers.Dense(3)]) for _ in range(2)
        ]
        q, p = (keras.ops.convert_to_numpy(keras.ops.softmax(model(x))) for model in models)
        wanted = (p * np.log(p / q)).sum(axis=-1)[y != 0].mean()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
        distilled = tfprune.distill(*models, temperature=1.0, alpha=1.0)
        distilled.compile(keras.optimizers.SGD(0.0), loss)
        found = distilled.fit(x, y, batch_size=4, verbose=0).history["loss"][0]
        print(abs(found - wanted) < 1e-4 * wanted)
    """
    assert run_on_jax(code).split() == ["True"]
