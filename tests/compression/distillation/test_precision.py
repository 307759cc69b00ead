"""Types of numbers, and numbers at the end of their range."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfprune
from tests.support.helpers import loss_of_keras

X = np.random.default_rng(0).normal(size=(16, 5)).astype("float32")
Y = np.arange(16) % 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(width=6, **options):
    hidden = layers.Dense(width, "relu", name="hidden", **options)
    return keras.Sequential([keras.Input((5,)), hidden, layers.Dense(3, **options)])


@pytest.fixture
def policy():
    """Sets the global policy, and the type of numbers where that is to follow."""
    floatx = keras.config.floatx()

    def chosen(name):
        keras.config.set_dtype_policy(name)
        if name in ("float32", "float64"):
            keras.config.set_floatx(name)

    yield chosen
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16"])
def test_inputs_reach_the_student_as_they_are_given(policy, name):
    policy(name)
    scaled = layers.Rescaling(1e-5, dtype="float32")
    student, teacher = (
        keras.Sequential([keras.Input((5,)), scaled, layers.Dense(3, dtype="float32")])
        for _ in range(2)
    )
    large = np.random.default_rng(0).uniform(0, 2e5, (16, 5)).astype("float32")
    np.testing.assert_array_equal(tfprune.distill(student, teacher)(large), student(large))


def test_the_loss_is_scaled_where_the_students_own_would_be_whatever_the_policy_is(policy):
    policy("mixed_float16")
    student, teacher = network(), network(9)
    policy("float32")
    distilled = tfprune.distill(student, teacher, hints=[("hidden", "hidden")])
    distilled.compile("sgd", LOSS)
    assert isinstance(distilled.optimizer, keras.optimizers.LossScaleOptimizer)
    assert distilled.regressors[0].dtype_policy.name == "mixed_float16"


def test_in_float64_the_loss_is_as_exact_as_keras_has_it(policy):
    policy("float64")
    student, teacher = network(), network(9)
    wanted = loss_of_keras(student, teacher, (X, Y), LOSS, temperature=2.0, alpha=0.5)
    teacher.trainable = True  # as Keras leaves it frozen
    distilled = tfprune.distill(student, teacher, temperature=2.0)
    distilled.compile("sgd", LOSS)
    found = distilled.compute_loss(X, Y, distilled(X, training=True), None)
    assert float(found) == pytest.approx(wanted, rel=1e-6)
    hinted = tfprune.distill(student, teacher, hints=[("hidden", "hidden")])
    hinted.compile("sgd", LOSS)
    assert ops.dtype(hinted.compute_loss(X, Y, hinted(X, training=True), None)) == "float64"


def test_outputs_of_several_types_are_added_up():
    def model():
        inputs = keras.Input((5,))
        ends = [layers.Dense(3, dtype=dtype)(inputs) for dtype in ("float64", "float32")]
        return keras.Model(inputs, ends)

    distilled = tfprune.distill(model(), model())
    distilled.compile("sgd", [LOSS, LOSS])
    found = distilled.compute_loss(X, [Y, Y], distilled(X, training=True), None)
    assert np.isfinite(float(found))


def test_classes_that_cannot_be_add_nothing_and_leave_gradients_finite():
    def model():
        inputs = keras.Input((5,))
        last = layers.Lambda(lambda z: ops.where(ops.arange(3) == 2, -np.inf, z), output_shape=(3,))
        return keras.Model(inputs, last(layers.Dense(3)(inputs)))

    student, teacher = model(), model()
    (p, q) = (np.asarray(ops.softmax(each(X)))[:, :2] for each in (teacher, student))
    distilled = tfprune.distill(student, teacher, alpha=1.0, temperature=1.0)
    distilled.compile(keras.optimizers.SGD(0.1), LOSS)
    history = distilled.fit(X, Y % 2, batch_size=16, verbose=0).history
    assert history["loss"][0] == pytest.approx((p * np.log(p / q)).sum(axis=-1).mean(), rel=1e-4)
    assert all(np.isfinite(weight).all() for weight in student.get_weights())
