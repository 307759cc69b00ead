"""Outputs of a teacher that are known teach as the teacher does."""

import keras
import numpy as np
from keras import layers

import tfprune
from scripts.studies.structured.known_outputs import with_known_teacher


def test_a_student_learns_the_same_from_known_outputs():
    keras.utils.set_random_seed(0)
    student, teacher = (
        keras.Sequential(
            [layers.Input((4, 4, 3)), layers.Flatten(), layers.Dense(units), layers.Dense(3)]
        )
        for units in (5, 8)
    )
    other = keras.models.clone_model(student)
    other.set_weights(student.get_weights())
    random = np.random.default_rng(0)
    x = random.normal(size=(12, 4, 4, 3)).astype("float32")
    y = random.integers(0, 3, 12)
    usual = tfprune.distill(student, teacher, temperature=3.0, alpha=0.6)
    known = tfprune.distill(*with_known_teacher(other), temperature=3.0, alpha=0.6)
    before = other.get_weights()
    for model, inputs in ((usual, x), (known, (x, teacher.predict(x, verbose=0)))):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss)
        model.fit(inputs, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    for mine, own, begun in zip(other.get_weights(), student.get_weights(), before, strict=True):
        np.testing.assert_allclose(mine, own, rtol=1e-5, atol=1e-6)
        assert not np.allclose(mine, begun)
