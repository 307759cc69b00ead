"""Round trips: weights, masks, step, schedule and structure survive, and training goes on."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfprune
from tests.support.helpers import fit, run_python, same_values, sparsity
from tfprune.wrapping.pruned_layer import pruned_layers

PLAN = tfprune.PolynomialDecay(0.0, 0.8, begin_step=2, end_step=14, frequency=3)


def plain():
    inputs = keras.Input((6,))
    x = layers.BatchNormalization()(layers.Dense(16, activation="relu", name="hidden")(inputs))
    x = layers.LSTM(4, name="lstm")(layers.Reshape((4, 4))(x))
    return keras.Model(inputs, layers.Dense(3, name="out")(x))


@pytest.fixture
def model():
    return plain()


@pytest.fixture(scope="module")
def trained():
    """Epochs -> one model trained for them, pruned, and the plain one that it was made of."""
    random = np.random.default_rng(0)
    data = [random.normal(size=(64, count)).astype("float32") for count in (6, 3)]

    @functools.cache
    def after(epochs):
        keras.utils.set_random_seed(0)
        model = plain()
        return fit(prune(model), data, epochs=epochs, optimizer="adam"), model

    return after


def prune(model):
    return tfprune.prune(model, PLAN, structure=tfprune.Block(2, 1), distribution="erk")


def through_keras_file(pruned, model, path):
    pruned.save(path / "model.keras")
    return keras.saving.load_model(path / "model.keras")


def through_weights_file(pruned, model, path):
    pruned.save_weights(path / "model.weights.h5")
    fresh = prune(model)
    fresh.compile("adam", "mse")
    fresh.optimizer.build(fresh.trainable_variables)
    fresh.load_weights(path / "model.weights.h5")
    return fresh


def through_checkpoint(pruned, model, path):
    saved = tf.train.Checkpoint(model=pruned, optimizer=pruned.optimizer).save(path / "checkpoint")
    fresh = prune(model)
    fresh.compile("adam", "mse")
    fresh.optimizer.build(fresh.trainable_variables)
    restored = tf.train.Checkpoint(model=fresh, optimizer=fresh.optimizer).restore(saved)
    restored.assert_existing_objects_matched()
    return fresh


@pytest.mark.parametrize(
    "round_trip", [through_keras_file, through_weights_file, through_checkpoint]
)
@pytest.mark.parametrize("epochs_before", [1, 2])
def test_training_resumed_from_a_file_ends_bit_identical_to_one_never_stopped(
    trained, data, tmp_path, round_trip, epochs_before
):
    never_stopped, _ = trained(3)
    stopped, model = trained(epochs_before)
    resumed = round_trip(stopped, model, tmp_path)
    assert same_values(resumed, stopped)
    assert int(resumed.get_layer("hidden").pruning_step.numpy()) == 8 * epochs_before
    fit(resumed, data, epochs=3 - epochs_before, optimizer=None)
    assert same_values(resumed, never_stopped)
    assert same_values(resumed.optimizer, never_stopped.optimizer)


def test_schedule_structure_scorer_and_distribution_are_in_the_file(model, tmp_path):
    plan = PLAN.with_final_sparsity(0.7)  # what 1 of 8 can reach over axes of 4 and 6
    pruned = tfprune.prune(
        model,
        plan,
        scorer=tfprune.scorers.Random(3),
        structure=tfprune.NofM(1, 8),
        distribution="erk",
        rules=[("hidden/.*", tfprune.OneShot(0.3))],
    )
    pruned.save(tmp_path / "model.keras")
    for layer in pruned_layers(keras.saving.load_model(tmp_path / "model.keras")):
        assert layer.scorer == tfprune.scorers.Random(3)
        assert (layer.structure, layer.distribution) == (tfprune.NofM(1, 8), "erk")
        expected = tfprune.OneShot(0.3) if layer.name == "hidden" else plan
        assert all(own.schedule == expected for own in layer.pruned)


def test_masks_take_one_bit_to_one_byte_a_weight_in_memory(model):
    for layer in pruned_layers(prune(model)):
        assert all(own.mask.dtype == "bool" for own in layer.pruned)


def test_saved_model_keeps_predictions_weights_masks_and_step(model, data, tmp_path):
    pruned = fit(prune(model), data, optimizer="adam")
    expected = pruned.predict(data[0], verbose=0)
    tf.saved_model.save(pruned, tmp_path / "saved")
    fresh = prune(model)
    tf.train.Checkpoint(fresh).restore(str(tmp_path / "saved/variables/variables"))
    for ours, theirs in zip(fresh.weights, pruned.weights, strict=True):
        assert np.array_equal(ours.numpy(), theirs.numpy()), ours.path
    assert np.array_equal(fresh.predict(data[0], verbose=0), expected)

    pruned.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    assert np.allclose(exported.serve(data[0]), expected, atol=1e-6)


def test_stripped_models_load_with_no_tfprune_installed(model, data, tmp_path):
    """The constraint that keeps zeros is not in the file either."""
    pruned = fit(prune(model), data, epochs=2)
    plain = tfprune.strip_pruning(pruned)
    plain.save(tmp_path / "plain.keras")
    tfprune.strip_pruning(pruned, keep_masks=True).save(tmp_path / "kept.keras")
    np.save(tmp_path / "x.npy", data[0])
    run_python(f"""
        import sys
        sys.modules["tfprune"] = None  # importing it now fails
        import keras, numpy as np
        for name in ("plain", "kept"):
            model = keras.saving.load_model(f"{tmp_path}/{{name}}.keras")
            predicted = model.predict(np.load("{tmp_path}/x.npy"), verbose=0)
            np.save(f"{tmp_path}/{{name}}.npy", predicted)
        """)
    expected = pruned.predict(data[0], verbose=0)
    for name in ("plain", "kept"):
        assert np.array_equal(np.load(tmp_path / f"{name}.npy"), expected)
    assert sparsity(pruned, "hidden") == pytest.approx(
        1 - np.count_nonzero(plain.get_layer("hidden").kernel.numpy()) / 96
    )
