"""Iterative Taylor pruning in every way of training: optimizers, replicas, loops, students."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfprune
from tests.support.gate_networks import LOSS, X, Y, fit, residual
from tests.support.jax_session import run_on_jax
from tfprune import channels
from tfprune.channels import IterativeTaylor


def test_a_student_loses_channels_while_it_learns():
    student, teacher = residual(), residual()
    distilled = tfprune.distill(student, teacher)
    distilled.compile("adam", LOSS)
    taylor = IterativeTaylor(student, 0.5, frequency=2, per_update=2)
    fit(distilled, taylor)
    small = channels.prune(student, taylor.plan)
    assert taylor.plan.removed.size == 10
    assert np.allclose(small(X), student(X), rtol=1e-4, atol=1e-5)


def test_the_optimizer_is_let_go_of():
    model = residual()
    fit(model, IterativeTaylor(model, 0.5, frequency=1), 1)
    assert "apply" not in vars(model.optimizer)
    zero = model.get_layer("norm").gamma.numpy() == 0
    model.fit(X, Y, verbose=0)
    assert zero.any() and not np.any(model.get_layer("norm").gamma.numpy()[zero] == 0)


def test_a_loop_of_ones_own_will_do():
    model = residual()
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), LOSS)
    taylor = IterativeTaylor(model, 0.5, frequency=1, per_update=2)
    callbacks = keras.callbacks.CallbackList([taylor], model=model)
    callbacks.on_train_begin()

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = LOSS(y, model(x, training=True))
        weights = model.trainable_variables
        model.optimizer.apply(tape.gradient(loss, weights), weights)

    for at in range(0, 64, 8):
        callbacks.on_train_batch_begin(at)
        step(X[at : at + 8], Y[at : at + 8])
        callbacks.on_train_batch_end(at)
    callbacks.on_train_end()
    small = channels.prune(model, taylor.plan)
    assert taylor.plan.removed.size == 10
    assert np.allclose(small(X), model(X), rtol=1e-4, atol=1e-5)


def test_an_epoch_without_gradients_is_an_error():
    class Elsewhere(keras.Model):
        def train_step(self, data):
            return {"loss": keras.ops.zeros(())}

    inner = residual()
    model = Elsewhere(inner.input, inner.output)
    with pytest.raises(ValueError, match="must see the gradients of every batch"):
        fit(model, IterativeTaylor(model, 0.5), 1)


def test_scaled_losses_give_the_same_scores():
    scores = []
    for scaled in (False, True):
        keras.utils.set_random_seed(0)
        model = residual()
        optimizer = keras.optimizers.SGD(0.0)
        if scaled:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=64.0)
        taylor = IterativeTaylor(model, 0.5, frequency=8)
        fit(model, taylor, 1, optimizer)
        scores.append(taylor.plan.groups[0].scores)
    assert np.allclose(*scores, rtol=1e-4) and scores[0].any()


def test_replicas_score_alike_by_their_shares_of_the_batches(two_replicas):
    scores = []
    for scope, batch in ((two_replicas.scope, 8), (contextlib.nullcontext, 4)):
        keras.utils.set_random_seed(0)
        with scope():
            model = residual()
            model.compile(keras.optimizers.SGD(0.0), LOSS)
        taylor = IterativeTaylor(model, 0.5, frequency=64 // batch)
        fit(model, taylor, 1, batch_size=batch)
        scores.append(taylor.plan.groups[0].scores)
    # The loss of each of two replicas is halved: a quarter of the squares.
    assert np.allclose(4 * scores[0], scores[1], rtol=1e-3) and scores[0].any()


def test_other_backends_are_refused_with_what_works_there():
    code = """
        import keras
        from tfprune.channels import IterativeTaylor
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
        try:
            IterativeTaylor(model, 0.5)
        except ValueError as error:
            print(error)
    """
    shown = run_on_jax(code)
    assert "must be used on the TensorFlow backend" in shown and "backend 'jax'" in shown
