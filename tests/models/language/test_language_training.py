"""training: states that begin anew, learning rates, clipping, perplexity."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfprune
from models.data import text
from models.language.lstm import lstm_language_model
from models.language.training import EpochDecay, Perplexity, ResetStates, zaremba_optimizer

WORDS = np.random.default_rng(0).integers(0, 12, 400)


def small(**options):
    return lstm_language_model(6, **{"vocabulary": 12, "steps": 5, "batch_size": 4, **options})


def test_a_student_and_its_teacher_begin_every_pass_anew_and_go_on_within():
    student, teacher = small(), small()
    seen = []

    def states(batch, logs):
        states = [np.array(own.get_layer("lstm_2").states[0]) for own in (student, teacher)]
        seen.append((batch, *(float(np.abs(state).max()) for state in states)))

    watch = keras.callbacks.LambdaCallback(on_train_batch_begin=states)
    distilled = tfprune.distill(student, teacher)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distilled.compile(zaremba_optimizer(100, steps=5), loss)
    callbacks = [ResetStates(student, teacher), watch]
    batches = text.streams(WORDS, 4, 5)
    distilled.fit(batches, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
    assert len(seen) == 2 * 19
    for batch, *largest in seen:
        assert [value == 0 for value in largest] == [batch == 0] * 2


def test_reset_states_needs_a_stateful_layer():
    model = small(stateful=False)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="has no stateful layer: leave ResetStates out"):
        model.fit(text.streams(WORDS, 4, 5), shuffle=False, verbose=0, callbacks=[ResetStates()])


@pytest.mark.parametrize(("clip", "norm"), [(0.01, 0.01), (1e6, None)])
def test_optimizer_clips_and_scales_as_for_a_loss_summed_over_steps(clip, norm):
    model = small()
    before = [variable.numpy() for variable in model.trainable_variables]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    x, y = next(iter(text.streams(WORDS, 4, 5)))

    with tf.GradientTape() as tape:
        summed = loss(y, model(x)) / 4  # over the steps, the mean over the batch
    gradients = tape.gradient(summed, [v.value for v in model.trainable_variables])
    gradients = [tf.convert_to_tensor(g).numpy() for g in gradients]
    length = np.sqrt(sum((g**2).sum() for g in gradients))
    scale = 1.0 if norm is None else norm / length
    for layer in (model.get_layer(name) for name in ("lstm_1", "lstm_2")):
        layer.reset_state()
    model.compile(
        zaremba_optimizer(100, steps=5, clip=clip),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.train_on_batch(x, y)
    for old, variable, gradient in zip(before, model.trainable_variables, gradients):
        np.testing.assert_allclose(old - variable.numpy(), scale * gradient, rtol=2e-3, atol=2e-7)


def test_learning_rate_is_that_of_the_paper_and_survives_saving():
    schedule = EpochDecay(1.0, steps_per_epoch=10, constant_epochs=6, decay=1.2)
    rates = [float(schedule(10 * epoch)) for epoch in range(9)]
    np.testing.assert_allclose(rates, [1.0] * 6 + [1 / 1.2, 1 / 1.44, 1 / 1.728], rtol=1e-6)
    copy = EpochDecay.from_config(schedule.get_config())
    assert float(copy(89)) == float(schedule(89)) == rates[8]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: zaremba_optimizer(0), "`steps_per_epoch` must be at least 1. Received: .*=0"),
        (lambda: zaremba_optimizer(1, steps=0), "`steps` must be at least 1. Received: steps=0"),
        (lambda: zaremba_optimizer(1, clip=0), "`clip` must be > 0. Received: clip=0"),
        (lambda: zaremba_optimizer(1, decay=0.5), "`decay` must be at least 1. Received: decay"),
        (
            lambda: zaremba_optimizer(1, constant_epochs=-1),
            "`constant_epochs` must be at least 0. Received: constant_epochs=-1",
        ),
        (
            lambda: EpochDecay(0.0, steps_per_epoch=1, constant_epochs=1, decay=2),
            "`rate` must be > 0. Received: rate=0.0",
        ),
    ],
)
def test_impossible_optimizers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_perplexity_is_exp_of_the_mean_over_words_that_count():
    metric = Perplexity()
    logits = np.log(np.array([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]], "float32"))
    metric.update_state(np.array([[0, 1]]), logits)
    assert float(metric.result()) == pytest.approx((0.5 * 0.1) ** -0.5, rel=1e-6)
    metric.update_state(np.array([[1, 0]]), logits, np.array([[1.0, 0.0]]))
    assert float(metric.result()) == pytest.approx((0.5 * 0.1 * 0.25) ** (-1 / 3), rel=1e-6)
    metric.reset_state()
    metric.update_state(np.array([[2, 2]]), logits)
    assert float(metric.result()) == pytest.approx((0.25 * 0.8) ** -0.5, rel=1e-6)
    assert Perplexity.from_config(metric.get_config()).name == "perplexity"
