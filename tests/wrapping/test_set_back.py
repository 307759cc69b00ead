"""Whether masks are finished follows the step that a layer has, whoever sets it."""

import keras
import pytest
import tensorflow as tf

import tfprune
from tests.support.helpers import fit

RISING = tfprune.PolynomialDecay(0.0, 0.5, 0, 14, frequency=2)  # two epochs
REFUSED = "nothing updates its mask"


def set_back_by_early_stopping(pruned, data, folder):
    class Rising(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = float(epoch)

    stopping = keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    fit(pruned, data, epochs=2, callbacks=[tfprune.UpdatePruningStep(), Rising(), stopping])


def set_back_by_values(pruned, data, folder):
    before = fit(pruned, data).get_weights()
    fit(pruned, data, optimizer=None).set_weights(before)


def set_back_by_a_file(pruned, data, folder):
    fit(pruned, data).save_weights(folder / "m.weights.h5")
    fit(pruned, data, optimizer=None).load_weights(folder / "m.weights.h5")


WAYS = {
    "early stopping": set_back_by_early_stopping,
    "values": set_back_by_values,
    "a file": set_back_by_a_file,
}


@pytest.mark.parametrize("compiled_anew", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_masks_of_an_earlier_step_are_not_finished_whoever_restored_them(
    mlp, data, tmp_path, way, compiled_anew
):
    pruned = tfprune.prune(mlp, RISING)
    WAYS[way](pruned, data, tmp_path)
    if compiled_anew:
        pruned.compile("sgd", "mse")
    with pytest.raises(ValueError, match=REFUSED):
        pruned.fit(*data, verbose=0)
    fit(pruned, data, epochs=1, optimizer=None)
    pruned.fit(*data, verbose=0)  # they are now
    assert int(pruned.layers[0].pruning_step.numpy()) == 16


def test_finished_masks_are_known_to_be_so_when_they_are_copied(mlp, data):
    pruned = fit(tfprune.prune(mlp, RISING), data, epochs=2)
    copy = tfprune.prune(mlp, RISING)
    copy.set_weights(pruned.get_weights())
    fit(copy, data, callbacks=[])


def test_a_step_that_is_set_elsewhere_than_in_the_layer_changes_nothing(mlp, data):
    pruned = tfprune.prune(mlp, RISING)
    step = pruned.layers[0].pruning_step
    with keras.StatelessScope():
        step.assign(16)
    tf.function(lambda: step.assign(16)).get_concrete_function()
    with pytest.raises(ValueError, match=REFUSED):
        fit(pruned, data, callbacks=[])


def test_the_updater_of_a_model_is_not_that_of_its_copy(mlp, data):
    pruned = tfprune.prune(mlp, RISING)
    tfprune.PruningUpdater(pruned, keras.optimizers.SGD())
    with pytest.raises(ValueError, match=REFUSED):
        fit(tfprune.quantize_aware(pruned), data, callbacks=[])
