"""Nothing ends less pruned than asked without a word, and nobody is told twice."""

import contextlib

import keras
import numpy as np
import pytest

import tfprune
from tests.support.helpers import fit, sparsity
from tfprune.wrapping import shortfall
from tfprune.wrapping.shortfall import PREFIX, lack_of

pytestmark = pytest.mark.filterwarnings(f"error:{PREFIX}:UserWarning")

LONG = tfprune.PolynomialDecay(0.0, 0.9, begin_step=0, end_step=1000, frequency=10)


@contextlib.contextmanager
def told(match, start=f"^{PREFIX}: "):
    """Expect one warning to the user, with this text."""
    with pytest.warns(UserWarning, match=start + match) as seen:
        yield
    assert [str(w.message) for w in seen if w.category is UserWarning][1:] == []


class Stop(keras.callbacks.Callback):
    """Stops after one epoch."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


@pytest.mark.parametrize("scorer", ["magnitude", "random"])
@pytest.mark.parametrize("plan", [tfprune.OneShot(0.9), tfprune.ConstantSparsity(0.9)])
def test_masks_that_are_due_at_step_0_are_made_when_a_model_is_stripped_at_once(mlp, scorer, plan):
    pruned = tfprune.prune(mlp, plan, scorer=scorer, rules=[("out/.*", 0.5)])
    plain = tfprune.strip_pruning(pruned)
    for name, asked in (("hidden", 0.9), ("out", 0.5)):
        kernel = plain.get_layer(name).kernel.numpy()
        assert np.count_nonzero(kernel == 0) == round(asked * kernel.size)
        layer = pruned.get_layer(name)
        assert layer.pruned[0].mask.numpy().all() and int(layer.pruning_step.numpy()) == -1


def test_masks_that_need_data_are_not_made_by_stripping(mlp):
    with told("asked 0.9, has 0: no mask has been updated .mlp/hidden/kernel, mlp/out/kernel.*"):
        tfprune.strip_pruning(tfprune.prune(mlp, tfprune.OneShot(0.9), scorer="snip"))


OCCASIONS = {
    "strip": lambda model, folder: tfprune.strip_pruning(model),
    "report": lambda model, folder: tfprune.report(model, verbose=False),
    "save": lambda model, folder: model.save(folder / "m.keras"),
    "weights": lambda model, folder: model.save_weights(folder / "m.weights.h5"),
}


@pytest.mark.parametrize("first", OCCASIONS)
def test_a_model_that_was_never_trained_is_told_of_once(mlp, tmp_path, first):
    pruned = tfprune.prune(mlp, LONG)
    with told("asked 0.9, has 0: no mask has been updated"):
        OCCASIONS[first](pruned, tmp_path)
    for occasion in OCCASIONS.values():
        occasion(pruned, tmp_path)


def test_a_fit_that_ends_before_the_schedule_says_so_when_it_begins_and_then_no_more(
    mlp, data, tmp_path
):
    pruned = tfprune.prune(mlp, LONG)
    with told("asked 0.9, this fit will get to 0: it ends at step 8 of 1000"):
        fit(pruned, data)
        for occasion in OCCASIONS.values():
            occasion(pruned, tmp_path)
        fit(pruned, data, optimizer=None)
        tfprune.export.to_tflite(tfprune.strip_pruning(pruned), tmp_path / "m.tflite")


def test_a_first_update_to_sparsity_0_counts_for_nothing(mlp, data):
    schedule = tfprune.PolynomialDecay(0.0, 0.8, 0, 1000, 100)
    with told("asked 0.8, this fit will get to 0:"):
        fit(tfprune.prune(mlp, schedule), data)


def test_the_sparsity_that_a_short_fit_gets_to_is_that_of_its_last_update(mlp, data):
    pruned = tfprune.prune(mlp, tfprune.PolynomialDecay(0.0, 0.8, 0, 10, power=1, frequency=5))
    with told("asked 0.8, this fit will get to 0.4: it ends at step 8 of 10"):
        fit(pruned, data)
    assert sparsity(pruned, "hidden") == pytest.approx(0.4)


@pytest.mark.parametrize("first", [True, False], ids=["listed first", "listed last"])
def test_an_early_stop_is_told_of_at_the_end_of_fit(mlp, data, first):
    pruned = tfprune.prune(mlp, tfprune.PolynomialDecay(0.0, 0.9, 0, 40, frequency=4))
    callbacks = [tfprune.UpdatePruningStep(), Stop()]
    with told(r"asked 0.9, has 0\.\d+: pruning is at step 8 of 40"):
        fit(pruned, data, epochs=10, callbacks=callbacks[:: 1 if first else -1])
        tfprune.strip_pruning(pruned)


def test_what_a_later_fit_misses_is_told_of_again(mlp, data):
    pruned = tfprune.prune(mlp, tfprune.PolynomialDecay(0.0, 0.9, 0, 40, frequency=4))
    with told("asked 0.9, this fit will get to"):
        fit(pruned, data)
    with told(r"asked 0.9, has 0\.\d+: pruning is at step 16 of 40"):
        fit(pruned, data, epochs=4, callbacks=[tfprune.UpdatePruningStep(), Stop()])
    fit(pruned, data, epochs=3)
    assert lack_of(pruned.layers) is None and sparsity(pruned, "hidden") == pytest.approx(0.9)


def test_a_fit_that_was_interrupted_is_told_of_when_the_model_is_stripped(mlp, data):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    pruned = tfprune.prune(mlp, tfprune.PolynomialDecay(0.0, 0.9, 0, 40, frequency=4))
    with pytest.raises(KeyboardInterrupt):
        fit(pruned, data, epochs=5, callbacks=[tfprune.UpdatePruningStep(), Interrupt()])
    with told(r"asked 0.9, has 0\.\d+: pruning is at step 8 of 40"):
        tfprune.strip_pruning(pruned)


def test_masks_that_early_stopping_sets_back_are_told_of_later(mlp, data):
    stop = keras.callbacks.EarlyStopping("loss", patience=2, mode="max", restore_best_weights=True)
    pruned = tfprune.prune(mlp, tfprune.PolynomialDecay(0.0, 0.9, 0, 20, frequency=4))
    fit(pruned, data, epochs=3, callbacks=[tfprune.UpdatePruningStep(), stop])
    if int(pruned.layers[0].pruning_step.numpy()) < 20:
        with told(r"asked 0.9, has 0\.\d+: pruning is at step 8 of 20"):
            tfprune.strip_pruning(pruned)
    else:
        pytest.fail("early stopping has restored nothing")


def test_evaluating_and_predicting_stay_silent(mlp, data):
    pruned = tfprune.prune(mlp, LONG)
    pruned.compile("sgd", "mse")
    pruned.predict(data[0], verbose=0)
    pruned.evaluate(*data, verbose=0)


def test_what_is_done_inside_of_fit_and_a_finished_schedule_are_silent(mlp, data, tmp_path):
    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            for occasion in OCCASIONS.values():
                occasion(self.model, tmp_path)

    pruned = tfprune.prune(mlp, tfprune.PolynomialDecay(0.0, 0.9, 0, 14, frequency=2))
    saver = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    fit(pruned, data, epochs=2, callbacks=[saver, Look(), tfprune.UpdatePruningStep()])
    for occasion in OCCASIONS.values():
        occasion(pruned, tmp_path)


def test_a_model_is_told_of_after_it_was_loaded(mlp, data, tmp_path):
    schedule = tfprune.PolynomialDecay(0.0, 0.9, 0, 14, frequency=2)
    saver = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    fit(
        tfprune.prune(mlp, schedule),
        data,
        epochs=2,
        callbacks=[saver, tfprune.UpdatePruningStep()],
    )
    early = keras.saving.load_model(tmp_path / "1.keras")
    with told(r"asked 0.9, has 0\.\d+: pruning is at step 8 of 14"):
        tfprune.strip_pruning(early)
    tfprune.strip_pruning(keras.saving.load_model(tmp_path / "2.keras"))


def test_a_frozen_layer_that_is_due_is_named_once(mlp, data, tmp_path):
    pruned = tfprune.prune(mlp, tfprune.OneShot(0.9))
    pruned.get_layer("hidden").trainable = False
    with told("'mlp/hidden/kernel' .asked 0.9, has 0.*unfrozen", start=""):
        fit(pruned, data)
        for occasion in OCCASIONS.values():
            occasion(pruned, tmp_path)
    pruned.save(tmp_path / "m.keras")
    with told("asked 0.9, has 0: pruning is at step 8, .* at 0 .*hidden/kernel, frozen."):
        tfprune.strip_pruning(keras.saving.load_model(tmp_path / "m.keras"))


def test_one_shot_pruning_of_a_frozen_layer_is_told_of_once_and_again_after_loading(mlp, tmp_path):
    mlp.get_layer("hidden").trainable = False
    with pytest.warns(UserWarning, match="'mlp/hidden/kernel' .asked 0.75, has 0.*Unfreeze"):
        pruned, _ = tfprune.one_shot(mlp, 0.75, "magnitude")
        for occasion in OCCASIONS.values():
            occasion(pruned, tmp_path)
    with told("asked 0.75, has 0: pruning is at step 1 .*hidden/kernel, frozen."):
        tfprune.strip_pruning(keras.saving.load_model(tmp_path / "m.keras"))


def test_the_stages_of_one_shot_pruning_may_be_saved_in_silence(mlp, tmp_path):
    def look(model, stage):
        for occasion in OCCASIONS.values():
            occasion(model, tmp_path)

    tfprune.one_shot(mlp, 0.75, "magnitude", stages=3, on_stage=look)


@pytest.mark.filterwarnings("ignore:Too few blocks:UserWarning")
@pytest.mark.filterwarnings("ignore:The last groups of a pattern are shorter:UserWarning")
@pytest.mark.filterwarnings("ignore:Channels are removed that the model returns:UserWarning")
@pytest.mark.parametrize(
    ("structure", "asked", "distribution"),
    [
        (tfprune.Block(4, 1), 0.8, "erk"),
        (tfprune.Block(4, 1), 0.8, "global"),
        (tfprune.NofM(1, 4), 0.75, "uniform"),
        (tfprune.Channel(-1), 0.33, "uniform"),
        (tfprune.Unstructured(), 0.333, "erk"),
    ],
)
def test_rounding_to_whole_groups_is_no_shortfall(mlp, data, structure, asked, distribution):
    options = {"structure": structure, "distribution": distribution}
    pruned = tfprune.prune(mlp, tfprune.OneShot(asked), **options)
    fit(pruned, data)
    tfprune.strip_pruning(pruned)


def test_a_loop_of_ones_own_that_ends_early_is_told_of(mlp):
    pruned, optimizer = tfprune.prune(mlp, LONG), keras.optimizers.SGD()
    updater = tfprune.PruningUpdater(pruned, optimizer)
    updater.begin()
    optimizer.iterations.assign(20)
    updater.update()
    with told(r"asked 0.9, has 0.05\d*: pruning is at step 20 of 1000"):
        tfprune.strip_pruning(pruned)
    updater.finish()


def test_a_schedule_of_unknown_end_is_asked_at_the_step_that_it_is_at(mlp, data):
    rising = tfprune.schedules.FromFunction(lambda step: min(0.9, step / 100), frequency=4)
    fit(tfprune.prune(mlp, rising), data)
    ending = tfprune.schedules.FromFunction(lambda step: min(0.9, step / 100), end_step=50)
    with told("asked 0.5, this fit will get to 0.08: it ends at step 8 of 50"):
        fit(tfprune.prune(mlp, ending), data)


def test_a_fit_that_begins_at_a_later_epoch_is_counted_from_there(mlp):
    pruned = tfprune.prune(mlp, tfprune.PolynomialDecay(0.0, 0.9, 0, 6, 2))
    pruned.compile("sgd", "mse")
    x, y = np.ones((8, mlp.input_shape[-1])), np.ones((8, mlp.output_shape[-1]))
    step = tfprune.UpdatePruningStep()
    with told("asked 0.9, .* step 4 of 6"):
        pruned.fit(x, y, batch_size=4, initial_epoch=8, epochs=10, verbose=0, callbacks=[step])


def test_a_model_is_looked_at_once_when_it_is_saved_whatever_its_layers(mlp, tmp_path, monkeypatch):
    pruned = tfprune.prune(mlp, tfprune.OneShot(0.5, step=9))
    looks = []
    monkeypatch.setattr(shortfall, "lack_of", lambda layers: looks.append(len(layers)))
    pruned.save(tmp_path / "model.keras")
    assert looks == [2]
