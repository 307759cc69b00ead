"""Iterative Taylor pruning in every way of training: optimizers, replicas, loops, students."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfprune
from tests.support.gate_networks import LOSS, OTHERS, X, Y, fit, parts, residual
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


def test_a_step_compiled_before_training_is_an_error_without_epochs_too():
    model = residual()
    model.compile("sgd", LOSS)
    model.optimizer.build(model.trainable_variables)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = LOSS(y, model(x, training=True))
        model.optimizer.apply(tape.gradient(loss, model.trainable_variables))

    step(X[:8], Y[:8])
    taylor = IterativeTaylor(model, 0.5, frequency=1)
    callbacks = keras.callbacks.CallbackList([taylor], model=model)
    callbacks.on_train_begin()
    callbacks.on_train_batch_begin(0)
    step(X[:8], Y[:8])
    callbacks.on_train_batch_end(0)
    with pytest.raises(ValueError, match="must see the gradients of every batch"):
        callbacks.on_train_end()


def test_a_later_epoch_without_gradients_is_an_error():
    model = residual()
    taylor = IterativeTaylor(model, 0.1, frequency=1, per_update=2)

    def compile_again(epoch):
        if epoch == 1:  # another optimizer, of which nobody knows
            model.compile("sgd", LOSS)
            model.make_train_function()

    again = keras.callbacks.LambdaCallback(on_epoch_begin=lambda at, logs: compile_again(at))
    model.compile("sgd", LOSS)
    with pytest.raises(ValueError, match="must see the gradients of every batch"):
        model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[taylor, again])


@pytest.mark.parametrize("eagerly", [False, True])
def test_an_epoch_whose_gradients_all_overflow_is_left_out(eagerly):
    model = residual()
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), initial_scale=1e38)
    model.compile(scaled, keras.losses.SparseCategoricalCrossentropy(), run_eagerly=eagerly)
    x = np.full_like(X, np.inf)
    taylor = IterativeTaylor(model, 0.5, frequency=1)
    model.fit(x[:16], Y[:16], batch_size=8, verbose=0, callbacks=[taylor])
    assert scaled.iterations.numpy() == 0 and taylor.plan.removed.size == 0


def test_an_optimizer_of_a_part_of_the_weights_gets_what_it_is_given():
    class Part(keras.Model):
        def train_step(self, data):
            x, y = data
            weights = [w for w in self.trainable_variables if "head" not in w.path]
            with tf.GradientTape() as tape:
                loss = LOSS(y, self(x, training=True))
            self.optimizer.apply(tape.gradient(loss, weights))
            return {"loss": loss}

    inner = residual()
    model = Part(inner.input, inner.output)
    optimizer = keras.optimizers.Adam()
    optimizer.build([w for w in model.trainable_variables if "head" not in w.path])
    model.compile(optimizer)
    taylor = IterativeTaylor(model, 0.5, frequency=1, per_update=1)
    head = model.get_layer("head").kernel.numpy()
    fit(model, taylor)
    assert taylor.plan.removed.size == 10
    assert np.array_equal(model.get_layer("head").kernel.numpy(), head)


@pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")  # Keras says it, too
def test_channels_without_a_gradient_are_an_error_that_names_them():
    inputs = keras.Input((8, 8, 3))
    x = layers.Flatten()(inputs)
    used = layers.Dense(4)(layers.Dense(8, name="used")(x))
    unused = layers.Dense(4)(layers.Dense(8, name="unused")(x))
    model = keras.Model(inputs, [used, unused])
    model.compile("sgd", [LOSS, None])
    targets = [Y, Y]

    def train(taylor):
        model.fit(X, targets, batch_size=8, verbose=0, callbacks=[taylor])

    with pytest.raises(ValueError, match="must see a gradient .* none for 'unused/kernel'"):
        train(IterativeTaylor(model, 0.5, frequency=1))
    assert "apply" not in vars(model.optimizer)
    taylor = IterativeTaylor(model, 0.5, frequency=1, rules=[("unused/.*", None)])
    train(taylor)
    assert parts(taylor.plan)["used"].kept == 4


@pytest.mark.parametrize(("frequency", "updates"), [(1, 16), (3, 5)])
def test_steps_per_execution_make_no_difference_to_the_number_of_updates(frequency, updates):
    removed = []
    for steps in (1, 8):
        model = residual()
        model.compile("sgd", LOSS, steps_per_execution=steps)
        taylor = IterativeTaylor(model, 0.85, frequency=frequency, per_update=1, rules=OTHERS)
        fit(model, taylor, 1, batch_size=4)
        removed.append(taylor.plan.removed.size)
    assert removed == [updates, updates]


def test_an_apply_of_somebody_else_is_called_and_given_back():
    model = residual()
    model.compile("sgd", LOSS)
    plain, calls = model.optimizer.apply, []

    def theirs(grads, trainable_variables=None):
        calls.append(1)
        plain(grads, trainable_variables)

    model.optimizer.apply = theirs
    fit(model, IterativeTaylor(model, 0.5, frequency=8), 1)
    assert calls and model.optimizer.apply is theirs


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
