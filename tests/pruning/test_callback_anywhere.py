"""UpdatePruningStep outside of a plain `fit`: loops of one's own, own optimizers, nested fits."""

import keras
import pytest
import tensorflow as tf

import tfprune
from tests.support.helpers import SparsityAtBatchEnd, fit, sparsity
from tests.support.jax_session import run_on_jax

RISING = tfprune.PolynomialDecay(0.0, 0.8, begin_step=0, end_step=12, frequency=2)


def asked(step):
    """The sparsity of 120 weights after `step` steps."""
    last = min(step - step % 2, 12)
    return 1 - round((1 - RISING(last)) * 120) / 120


def tape_step(model, optimizer, data):
    with tf.GradientTape() as tape:
        loss = keras.ops.mean((model(data[0], training=True) - data[1]) ** 2)
    optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    return loss


def test_a_callback_list_around_a_tape_loop_keeps_the_masks_on_schedule(mlp, data):
    pruned, optimizer = tfprune.prune(mlp, RISING), keras.optimizers.SGD(0.1)
    update = tfprune.UpdatePruningStep(optimizer=optimizer)
    callbacks = keras.callbacks.CallbackList([update], model=pruned, epochs=1, steps=14)
    callbacks.on_train_begin()
    for batch in range(14):
        callbacks.on_train_batch_begin(batch)
        tape_step(pruned, optimizer, data)
        callbacks.on_train_batch_end(batch)
        assert sparsity(pruned, "hidden") == pytest.approx(asked(batch + 1))
    callbacks.on_train_end()
    assert update.updater.step == 14


def test_set_model_and_two_hooks_are_enough_in_a_loop(mlp, data):
    pruned = tfprune.prune(mlp, RISING)
    pruned.compile("sgd", "mse")
    update = tfprune.UpdatePruningStep()
    update.set_model(pruned)
    update.on_train_begin()
    for batch in range(3):
        tape_step(pruned, pruned.optimizer, data)
        update.on_train_batch_end(batch)
        assert sparsity(pruned, "hidden") == pytest.approx(asked(batch + 1))


def test_without_an_optimizer_the_callback_says_what_it_needs(mlp):
    update = tfprune.UpdatePruningStep()
    update.set_model(tfprune.prune(mlp, RISING))
    with pytest.raises(ValueError, match="must be compiled, or the optimizer.*be given"):
        update.on_train_begin()


def test_train_on_batch_is_kept_on_schedule(mlp, data):
    pruned = tfprune.prune(mlp, RISING)
    pruned.compile("sgd", "mse")
    seen = SparsityAtBatchEnd("hidden")
    callbacks = keras.callbacks.CallbackList([seen, tfprune.UpdatePruningStep()], model=pruned)
    callbacks.on_train_begin()
    for batch in range(13):
        callbacks.on_train_batch_begin(batch)
        pruned.train_on_batch(*data)
        callbacks.on_train_batch_end(batch)
    callbacks.on_train_end()
    assert seen.seen == [(step, pytest.approx(asked(step))) for step in range(1, 14)]
    pruned.train_on_batch(*data)  # the masks are finished


class OwnOptimizer(keras.Model):
    """A model that brings an optimizer of its own, as generative adversarial networks do."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def compile(self, own):
        super().compile()
        self.own = own

    def call(self, x):
        return self.network(x)

    def train_step(self, batch):
        return {"loss": tape_step(self.network, self.own, batch)}


def test_a_model_with_its_own_optimizer_names_it_or_is_told_to(mlp, data):
    optimizer = keras.optimizers.SGD(0.1)
    model = OwnOptimizer(tfprune.prune(mlp, RISING))
    model.compile(optimizer)
    with pytest.raises(ValueError, match="counted no optimizer step in a whole epoch"):
        model.fit(*data, batch_size=8, epochs=2, verbose=0, callbacks=[tfprune.UpdatePruningStep()])
    optimizer = keras.optimizers.SGD(0.1)
    model = OwnOptimizer(tfprune.prune(mlp, RISING))
    model.compile(optimizer)
    update = tfprune.UpdatePruningStep(optimizer=optimizer)
    model.fit(*data, batch_size=8, epochs=2, verbose=0, callbacks=[update])
    assert update.updater.step == 16
    assert sparsity(model.network, "hidden") == pytest.approx(0.8)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=100),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), 1e38),
    ],
    ids=["accumulates longer than an epoch", "scales down longer than an epoch"],
)
def test_an_optimizer_that_is_at_work_without_a_step_yet_is_no_error(mlp, data, optimizer):
    update, far_off = tfprune.UpdatePruningStep(), (data[0], 1e6 * data[1])
    fit(tfprune.prune(mlp, RISING), far_off, optimizer=optimizer(), callbacks=[update])
    assert update.updater.step == 0


def test_a_fit_inside_a_callback_leaves_the_outer_one_on_schedule(mlp, data):
    class Inner(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                inner = [tfprune.UpdatePruningStep()]
                self.model.fit(*data, batch_size=32, verbose=0, callbacks=inner)

    pruned, outer = tfprune.prune(mlp, RISING), tfprune.UpdatePruningStep()
    seen = SparsityAtBatchEnd("hidden")
    fit(pruned, data, epochs=2, callbacks=[outer, Inner(), seen])
    steps = [*range(1, 9), *range(11, 19)]
    assert seen.seen == [(step, pytest.approx(asked(step))) for step in steps]
    assert outer.updater.step == 18


def test_jax_keeps_train_on_batch_on_schedule_and_takes_scorers_that_see_inputs():
    run_on_jax("""
        import keras, numpy as np, tfprune
        random = np.random.default_rng(0)
        x, y = random.normal(size=(64, 6)), random.normal(size=(64, 3))
        layers = [keras.layers.Dense(20, name="hidden"), keras.layers.Dense(3)]
        model = keras.Sequential([keras.Input((6,)), *layers])

        def kept(pruned):
            return float(keras.ops.mean(keras.ops.cast(pruned.layers[0].pruned[0].mask, "float32")))

        pruned = tfprune.prune(model, tfprune.ConstantSparsity(0.5, begin_step=2, frequency=1))
        pruned.compile("sgd", "mse")
        update = tfprune.UpdatePruningStep()
        callbacks = keras.callbacks.CallbackList([update], model=pruned)
        callbacks.on_train_begin()
        for batch in range(3):
            callbacks.on_train_batch_begin(batch)
            pruned.train_on_batch(x, y)
            callbacks.on_train_batch_end(batch)
            assert kept(pruned) == (0.5 if batch else 1.0)
        callbacks.on_train_end()
        assert update.updater.step == 3

        rising = tfprune.PolynomialDecay(0.0, 0.8, begin_step=1, end_step=6, frequency=2)
        pruned = tfprune.prune(model, rising, scorer="reconstruction")
        pruned.compile("sgd", "mse")
        pruned.fit(x, y, batch_size=8, verbose=0, callbacks=[tfprune.UpdatePruningStep(x)])
        assert abs(kept(pruned) - 0.2) < 1e-6
        """)
