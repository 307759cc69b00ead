"""Training without mask updates is refused on every path, and nothing else is."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfprune
from tests.support.helpers import fit
from tests.support.jax_session import run_on_jax

HALF = tfprune.ConstantSparsity(0.5, frequency=5)
REFUSED = "nothing updates its mask: pass callbacks="


def step_of(model, data, *, training, compiled):
    """One training step of a loop of one's own."""
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    arguments = {"training": True} if training else {}

    def step(x, y):
        with tf.GradientTape() as tape:
            loss = keras.ops.mean((model(x, **arguments) - y) ** 2)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    return lambda: (tf.function(step) if compiled else step)(*data)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_loop_without_an_updater_is_refused_before_any_weight_changes(mlp, data, compiled):
    pruned = tfprune.prune(mlp, HALF)
    before = [v.numpy() for v in pruned.trainable_variables]
    with pytest.raises(ValueError, match=REFUSED):
        step_of(pruned, data, training=True, compiled=compiled)()
    assert all(np.array_equal(a, v.numpy()) for a, v in zip(before, pruned.trainable_variables))
    tfprune.PruningUpdater(pruned, keras.optimizers.SGD())
    step_of(pruned, data, training=True, compiled=compiled)()
    assert (before[0] != pruned.trainable_variables[0].numpy()).any()


@pytest.mark.parametrize("compiled", [True, False])
def test_a_loop_that_does_not_say_that_it_trains_is_refused_too(mlp, data, compiled):
    pruned = tfprune.prune(mlp, HALF)
    with pytest.raises(ValueError, match=REFUSED):
        step_of(pruned, data, training=False, compiled=compiled)()


class WithoutTraining(keras.Model):
    """A model whose `call` has no argument `training`."""

    def __init__(self):
        super().__init__()
        self.dense = tfprune.PrunedLayer(keras.layers.Dense(3), HALF)

    def call(self, x):
        return self.dense(x)


def test_fit_and_train_on_batch_are_refused_whatever_arguments_call_has(mlp, data):
    for make in (lambda: tfprune.prune(mlp, HALF), WithoutTraining):
        with pytest.raises(ValueError, match=REFUSED):
            fit(make(), data, callbacks=[])
        model = make()
        model.compile("sgd", "mse")
        with pytest.raises(ValueError, match=REFUSED):
            model.train_on_batch(*data)


def test_a_fit_that_follows_an_unfinished_one_is_refused_though_its_step_is_compiled(mlp, data):
    pruned = fit(tfprune.prune(mlp, HALF), data)
    before = pruned.layers[0].layer.kernel.numpy()
    for train in (lambda: pruned.fit(*data, verbose=0), lambda: pruned.train_on_batch(*data)):
        with pytest.raises(ValueError, match=REFUSED):
            train()
    assert np.array_equal(before, pruned.layers[0].layer.kernel.numpy())
    fit(pruned, data, optimizer=None)
    assert int(pruned.layers[0].pruning_step.numpy()) == 16


@pytest.mark.parametrize("form", ["m.keras", "m.weights.h5"])
def test_finished_masks_are_known_to_be_so_when_they_are_loaded(mlp, data, tmp_path, form):
    for schedule, finished in ((tfprune.OneShot(0.5), True), (HALF, False)):
        pruned = fit(tfprune.prune(mlp, schedule), data)
        if form == "m.keras":
            pruned.save(tmp_path / form)
            loaded = keras.saving.load_model(tmp_path / form)
        else:
            pruned.save_weights(tmp_path / form)
            loaded = tfprune.prune(mlp, schedule)
            loaded.load_weights(tmp_path / form)
        train = step_of(loaded, data, training=True, compiled=False)
        if finished:
            train()
            fit(loaded, data, callbacks=[])
        else:
            with pytest.raises(ValueError, match=REFUSED):
                train()


def test_evaluation_prediction_calls_and_gradients_by_inputs_are_not_training(mlp, data):
    pruned = tfprune.prune(mlp, HALF)
    x = keras.ops.convert_to_tensor(data[0])
    expected = pruned(x).numpy()
    assert np.array_equal(pruned(x, training=True).numpy(), expected)
    assert np.array_equal(tf.function(pruned)(x, training=True).numpy(), expected)
    pruned.compile("sgd", "mse")
    pruned.evaluate(*data, verbose=0)
    pruned.predict(data[0], verbose=0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = keras.ops.sum(pruned(x))
    assert np.isfinite(tape.gradient(total, x).numpy()).all()


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_pruned_model_may_stand_in_the_loss_of_another(mlp, data, compiled, frozen):
    teacher = tfprune.prune(mlp, HALF)
    teacher.trainable = not frozen
    student = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(student.trainable_variables)

    def step(x):
        with tf.GradientTape() as tape:
            wanted = teacher(x, training=frozen)
            loss = keras.ops.mean((student(x, training=True) - wanted) ** 2)
        optimizer.apply(
            tape.gradient(loss, student.trainable_variables), student.trainable_variables
        )

    before = student.layers[0].kernel.numpy()
    (tf.function(step) if compiled else step)(data[0])
    assert (before != student.layers[0].kernel.numpy()).any()


def test_a_frozen_pruned_layer_trains_with_the_rest_of_the_model(mlp, data):
    pruned = tfprune.prune(mlp, HALF, rules=[("out/.*", None)])
    pruned.get_layer("hidden").trainable = False
    before = pruned.get_layer("out").kernel.numpy()
    fit(pruned, data, callbacks=[])
    assert (before != pruned.get_layer("out").kernel.numpy()).any()


def test_the_constraints_of_the_user_are_there_when_training_is_allowed(data):
    norm = keras.constraints.MaxNorm(0.1)
    layer = keras.layers.Dense(3, kernel_constraint=norm, name="out")
    pruned = tfprune.prune(keras.Sequential([keras.Input((6,)), layer]), HALF)
    with pytest.raises(ValueError, match=REFUSED):
        step_of(pruned, data, training=False, compiled=False)()
    fit(pruned, data)
    own = pruned.layers[0].pruned[0]
    norms = np.linalg.norm(own.weight.numpy() * own.mask.numpy(), axis=0)
    assert (norms <= 0.1 + 1e-6).all()


def test_a_layer_that_was_wrapped_before_is_trained_by_its_later_wrapper(data):
    inner = keras.layers.Dense(3, name="out")
    wrappers = [tfprune.PrunedLayer(inner, tfprune.OneShot(0.5)) for _ in range(2)]
    first, second = (keras.Sequential([keras.Input((6,)), wrapper]) for wrapper in wrappers)
    for trained in (second, first):
        fit(trained, data)
    assert inner.kernel.constraint is None


JAX = """
    import jax, keras, numpy as np, tfprune
    random = np.random.default_rng(0)
    x, y = random.normal(size=(64, 6)), random.normal(size=(64, 3))
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(20), keras.layers.Dense(3)])
    half = tfprune.ConstantSparsity(0.5, frequency=5)

    class WithoutTraining(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = tfprune.PrunedLayer(keras.layers.Dense(3), half)
        def call(self, x):
            return self.dense(x)

    def own_loop(training, compiled):
        pruned, optimizer = tfprune.prune(model, half), keras.optimizers.SGD(0.1)
        optimizer.build(pruned.trainable_variables)
        def loss(trainable, others):
            out, others = pruned.stateless_call(trainable, others, x, **training)
            return keras.ops.mean((out - y) ** 2), others
        def step(trainable, others, state):
            _, gradients = jax.value_and_grad(loss, has_aux=True)(trainable, others)
            return optimizer.stateless_apply(state, gradients, trainable)
        groups = pruned.trainable_variables, pruned.non_trainable_variables, optimizer.variables
        (jax.jit(step) if compiled else step)(*([v.value for v in group] for group in groups))

    def second_fit():
        pruned = tfprune.prune(model, half)
        pruned.compile("sgd", "mse")
        pruned.fit(x, y, verbose=0, callbacks=[tfprune.UpdatePruningStep()])
        pruned.fit(x, y, verbose=0)

    def whole(make, train):
        made = make()
        made.compile("sgd", "mse")
        getattr(made, train)(x, y)

    def set_back():
        pruned = tfprune.prune(model, tfprune.PolynomialDecay(0.0, 0.5, 0, 3, frequency=2))
        pruned.compile("sgd", "mse")
        pruned.fit(x, y, epochs=2, verbose=0, callbacks=[
            tfprune.UpdatePruningStep(),
            keras.callbacks.EarlyStopping("sparsity", mode="min", restore_best_weights=True)])
        pruned.fit(x, y, verbose=0)

    training = [
        lambda: own_loop({"training": True}, True), lambda: own_loop({"training": True}, False),
        lambda: own_loop({}, True), lambda: own_loop({}, False), second_fit, set_back,
        lambda: whole(WithoutTraining, "fit"), lambda: whole(WithoutTraining, "train_on_batch"),
        lambda: whole(lambda: tfprune.prune(model, half), "train_on_batch"),
    ]
    for number, train in enumerate(training):
        try:
            train()
        except ValueError as error:
            assert "nothing updates its mask" in str(error), error
        else:
            raise SystemExit(f"{number} was not refused")

    pruned = tfprune.prune(model, half)
    pruned(x, training=True)
    whole(lambda: pruned, "evaluate")
    pruned.predict(x, verbose=0)
    state = [[v.value for v in g] for g in (pruned.trainable_variables,
                                            pruned.non_trainable_variables)]
    outputs = lambda x: pruned.stateless_call(*state, x, training=True)[0]
    by_inputs = jax.grad(lambda x: keras.ops.sum(outputs(x)))
    assert np.isfinite(by_inputs(x)).all()
"""


def test_jax_refuses_the_same_and_no_more():
    run_on_jax(JAX)
