"""When updates happen: beginning, going back with the model, frozen layers, and step counters."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfprune
from tests.support.helpers import fit, same_values, sparsity

HALF = tfprune.ConstantSparsity(0.5, frequency=4)
RISING = tfprune.PolynomialDecay(0.0, 0.8, begin_step=0, end_step=12, frequency=2)


def counted(optimizer, steps=1):
    """Steps of the optimizer that change no weight."""
    optimizer.iterations.assign_add(steps)


def step_of(model):
    return max(int(layer.pruning_step.numpy()) for layer in model.layers)


def test_creating_an_updater_changes_no_variable(mlp):
    pruned = tfprune.prune(mlp, HALF)
    before = [v.numpy() for v in pruned.variables]
    updater = tfprune.PruningUpdater(pruned, keras.optimizers.SGD())
    assert all(np.array_equal(a, v.numpy()) for a, v in zip(before, pruned.variables))
    assert updater.step == 0 and updater.next_update() == 0


def test_updates_due_at_step_0_are_made_by_begin_or_by_the_first_update(mlp):
    for begin in (True, False):
        pruned, optimizer = tfprune.prune(mlp, HALF), keras.optimizers.SGD()
        updater = tfprune.PruningUpdater(pruned, optimizer)
        if begin:
            assert updater.begin()
            assert sparsity(pruned, "hidden") == 0.5
            assert not updater.begin()  # nothing is due any more
        counted(optimizer)
        updater.update()
        assert sparsity(pruned, "hidden") == 0.5
        assert updater.step == step_of(pruned) == 1 and updater.next_update() == 4


def test_the_first_update_makes_one_update_where_several_are_due(mlp):
    calls = []

    def scorer(weights, evidence):
        calls.append(sorted(weights))
        return {name: np.abs(w) for name, w in weights.items()}

    optimizer = keras.optimizers.SGD()
    pruned = tfprune.prune(mlp, RISING, scorer=scorer)
    updater = tfprune.PruningUpdater(pruned, optimizer)
    counted(optimizer, 2)
    updater.update()
    assert len(calls) == 1 and sparsity(pruned, "out") == 1 - round((1 - RISING(2)) * 60) / 60


def test_what_is_loaded_between_creating_and_beginning_counts(mlp, data, tmp_path):
    trained = fit(tfprune.prune(mlp, RISING), data)
    trained.save_weights(tmp_path / "m.weights.h5")
    pruned, optimizer = tfprune.prune(mlp, RISING), keras.optimizers.SGD()
    updater = tfprune.PruningUpdater(pruned, optimizer)
    pruned.load_weights(tmp_path / "m.weights.h5")
    updater.begin()
    assert updater.step == 8
    counted(optimizer, 2)
    updater.update()
    assert updater.step == 10


@pytest.mark.parametrize("first", [True, False], ids=["listed first", "listed last"])
def test_training_goes_on_from_the_step_that_early_stopping_restored(mlp, data, first):
    class Loss(keras.callbacks.Callback):
        """Makes the first epoch the best one."""

        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = float(epoch)

    pruned = tfprune.prune(mlp, tfprune.PolynomialDecay(0.0, 0.9, 0, 40, frequency=4))
    stopping = keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True)
    callbacks = [Loss(), stopping, tfprune.UpdatePruningStep()]
    fit(pruned, data, epochs=6, callbacks=callbacks if first else [*callbacks[::2], callbacks[1]])
    assert step_of(pruned) == 8
    assert sparsity(pruned, "hidden") == pytest.approx(0.4392, abs=1e-2)
    fit(pruned, data, epochs=4, optimizer=None)
    assert step_of(pruned) == 40 and sparsity(pruned, "hidden") == pytest.approx(0.9)


def test_a_model_that_is_set_back_in_the_middle_of_training_is_pruned_again(mlp):
    pruned, optimizer = tfprune.prune(mlp, RISING), keras.optimizers.SGD()
    updater = tfprune.PruningUpdater(pruned, optimizer)
    updater.begin()
    start = pruned.get_weights()
    for step in range(1, 9):
        counted(optimizer)
        updater.update()
    pruned.set_weights(start)
    for step in range(1, 7):
        counted(optimizer)
        updater.update()
        last = step - step % 2
        assert updater.step == step
        assert sparsity(pruned, "hidden") == 1 - round((1 - RISING(last)) * 120) / 120


class Crash(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("first", [True, False], ids=["listed first", "listed last"])
def test_a_run_that_is_resumed_from_a_backup_ends_as_one_that_was_not_cut(
    mlp, data, tmp_path, first
):
    def run(callbacks, model=None):
        pruned = tfprune.prune(mlp, RISING) if model is None else model
        return fit(pruned, data, epochs=2, optimizer="adam", callbacks=callbacks)

    def callbacks():
        both = [tfprune.UpdatePruningStep(), keras.callbacks.BackupAndRestore(tmp_path / "b")]
        return both if first else both[::-1]

    whole = run([tfprune.UpdatePruningStep()])
    with pytest.raises(KeyboardInterrupt):
        run([*callbacks(), Crash()])
    assert same_values(run(callbacks()), whole)


def test_an_unfrozen_layer_makes_up_for_the_updates_that_it_missed(mlp, data, tmp_path):
    pruned = tfprune.prune(mlp, tfprune.PolynomialDecay(0.0, 0.8, 2, 6, frequency=2))
    hidden = pruned.get_layer("hidden")
    hidden.trainable = False
    with pytest.warns(UserWarning, match="'mlp/hidden/kernel' .asked 0.8, has 0.*unfrozen"):
        fit(pruned, data)
    assert sparsity(pruned, "hidden") == 0.0 and sparsity(pruned, "out") == pytest.approx(0.8)
    pruned.save(tmp_path / "m.keras")
    for model in (pruned, keras.saving.load_model(tmp_path / "m.keras")):
        model.get_layer("hidden").trainable = True
        fit(model, data)
        assert step_of(model) == 16
        assert sparsity(model, "hidden") == sparsity(model, "out") == pytest.approx(0.8)


def test_a_frozen_layer_stays_frozen_in_its_copy_and_its_file(mlp, tmp_path):
    mlp.get_layer("hidden").trainable = False
    pruned = tfprune.prune(mlp, HALF)
    pruned.save(tmp_path / "m.keras")
    for model in (pruned, keras.saving.load_model(tmp_path / "m.keras")):
        hidden = model.get_layer("hidden")
        assert not hidden.trainable and len(model.trainable_variables) == 2
        hidden.trainable = True
        assert len(model.trainable_variables) == 4


def test_a_layer_that_is_unfrozen_in_the_middle_of_training_is_updated_at_once(mlp):
    pruned, optimizer = tfprune.prune(mlp, HALF, scorer="random"), keras.optimizers.SGD()
    updater = tfprune.PruningUpdater(pruned, optimizer)
    pruned.get_layer("hidden").trainable = False
    for step in range(1, 6):
        counted(optimizer)
        updater.update()
    assert (sparsity(pruned, "hidden"), sparsity(pruned, "out")) == (0.0, 0.5)
    pruned.get_layer("hidden").trainable = True
    counted(optimizer)
    updater.update()
    assert (sparsity(pruned, "hidden"), sparsity(pruned, "out")) == (0.5, 0.5)


def test_gradients_of_a_layer_that_is_unfrozen_are_there_for_its_update(mlp, data):
    pruned, optimizer = tfprune.prune(mlp, HALF, scorer="snip"), keras.optimizers.SGD()
    pruned.get_layer("hidden").trainable = False
    updater = tfprune.PruningUpdater(pruned, optimizer, data=data, loss="mse")
    updater.begin()
    assert sparsity(pruned, "hidden") == 0.0
    pruned.get_layer("hidden").trainable = True
    counted(optimizer)
    updater.update()
    assert sparsity(pruned, "hidden") == 0.5


def test_an_update_inside_a_compiled_function_says_where_it_belongs(mlp):
    pruned = tfprune.prune(mlp, HALF)
    updater = tfprune.PruningUpdater(pruned, keras.optimizers.SGD())
    for begun in (False, True):
        with pytest.raises(ValueError, match="must be made outside of compiled functions"):
            tf.function(lambda: updater.update())()
        assert updater.begin() != begun


@pytest.mark.parametrize("kind", ["variable", "function"])
def test_anything_may_count_the_steps(mlp, kind):
    count = keras.Variable(3, dtype="int32")
    counter = count if kind == "variable" else lambda: int(count.numpy())
    pruned = tfprune.prune(mlp, RISING)
    updater = tfprune.PruningUpdater(pruned, counter)
    count.assign(15)
    updater.update()
    assert updater.step == 12 and sparsity(pruned, "hidden") == pytest.approx(0.8)


@pytest.mark.parametrize(
    "optimizer", ["adam", 3, keras.optimizers.SGD, object()], ids=["str", "int", "type", "object"]
)
def test_what_counts_no_steps_is_refused(mlp, optimizer):
    with pytest.raises(TypeError, match="`optimizer` must be a Keras optimizer"):
        tfprune.PruningUpdater(tfprune.prune(mlp, HALF), optimizer)


def test_an_updater_that_sees_no_optimizer_step_says_so_once_and_one_that_waits_for_none_not(mlp):
    pruned = tfprune.prune(mlp, RISING)
    updater = tfprune.PruningUpdater(pruned, keras.optimizers.SGD(gradient_accumulation_steps=2))
    updater.begin()
    with pytest.warns(UserWarning, match="^100 updates in a row have seen no optimizer") as told:
        for _ in range(300):
            updater.update()
    assert len(told) == 1
    finished = tfprune.PruningUpdater(tfprune.prune(mlp, tfprune.OneShot(0.5)), counted_nothing())
    for _ in range(100):
        finished.update()


def counted_nothing():
    return keras.Variable(0, dtype="int64")
