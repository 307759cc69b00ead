"""Scores that updates add up are state of the model: they last from fit to fit, and in files."""

import itertools

import keras
import numpy as np
import pytest

import tfprune
from tests.support.helpers import fit, same_values
from tests.support.jax_session import run_on_jax
from tfprune.scorers import Movement, Taylor

SCORERS = {"movement": Movement(), "taylor": Taylor(momentum=0.5)}
RISING = tfprune.PolynomialDecay(0.0, 0.7, begin_step=0, end_step=14, frequency=3)


@pytest.fixture
def model():
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(20, use_bias=False, name="hidden"),
            keras.layers.BatchNormalization(),
            keras.layers.Activation("relu"),
            keras.layers.Dense(3, name="out"),
        ]
    )


def prune(model, scorer):
    return tfprune.prune(model, RISING, scorer=scorer, rules=[("out/.*", None)])


def train(pruned, data, epochs, optimizer=None):
    update = tfprune.UpdatePruningStep(data, "mse", examples=None)
    return fit(pruned, data, epochs=epochs, optimizer=optimizer, callbacks=[update])


def again(pruned, model, scorer, folder):
    return pruned


def from_model_file(pruned, model, scorer, folder):
    pruned.save(folder / "m.keras")
    return keras.saving.load_model(folder / "m.keras")


def from_weights_file(pruned, model, scorer, folder):
    pruned.save_weights(folder / "m.weights.h5")
    fresh = prune(model, scorer)
    fresh.compile("adam", "mse")
    fresh.optimizer.build(fresh.trainable_variables)
    fresh.load_weights(folder / "m.weights.h5")
    return fresh


@pytest.mark.parametrize(
    "then, name",
    [
        *itertools.product([again], SCORERS),
        (from_model_file, "movement"),
        (from_weights_file, "taylor"),
    ],
)
def test_a_fit_in_two_parts_equals_one(model, data, tmp_path, name, then):
    scorer = SCORERS[name]
    whole = train(prune(model, scorer), data, 2, "adam")
    halves = train(prune(model, scorer), data, 1, "adam")
    halves = train(then(halves, model, scorer, tmp_path), data, 1)
    assert same_values(halves, whole)
    assert whole.get_layer("hidden").scores_known_0.numpy()
    assert whole.get_layer("hidden").scores_0.numpy().any()


def test_the_rounded_copy_of_a_model_goes_on_from_its_scores_and_from_the_step_of_each_layer(
    mlp, data
):
    pruned = tfprune.prune(mlp, RISING, scorer="movement")
    train(pruned, data, 1, "adam")
    pruned.get_layer("out").pruning_step.assign(3)  # as of a layer that was frozen
    copy = tfprune.quantize_aware(pruned)
    for old, new in zip(pruned.layers, copy.layers):
        for ours, theirs in zip(new.added, old.added, strict=True):
            assert np.array_equal(ours.numpy(), theirs.numpy()), ours.path


@pytest.mark.parametrize(("before", "after"), [("magnitude", "movement"), ("movement", "snip")])
def test_files_are_read_whether_or_not_they_have_scores(mlp, data, tmp_path, before, after):
    old = train(tfprune.prune(mlp, RISING, scorer=before), data, 1, "sgd")
    old.save_weights(tmp_path / "m.weights.h5")
    new = train(tfprune.prune(mlp, RISING, scorer=after), data, 1, "sgd")
    new.compile("sgd", "mse")
    new.load_weights(tmp_path / "m.weights.h5")
    for ours, theirs in zip(new.layers, old.layers):
        assert np.array_equal(ours.pruned[0].mask.numpy(), theirs.pruned[0].mask.numpy())
        assert int(ours.pruning_step.numpy()) == 8
        assert ours.pruned[0].past is None or not ours.pruned[0].past.known.numpy()
    train(new, data, 1)
    assert tfprune.report(new, verbose=False).prunable.sparsity == pytest.approx(0.7, abs=0.01)


def test_a_file_of_another_layer_is_refused(mlp, data, tmp_path):
    pruned = tfprune.prune(mlp, RISING, scorer="movement")
    with pytest.raises(ValueError, match="expected 4 variables"):
        pruned.get_layer("hidden").load_own_variables({"0": 1})


def test_scores_cost_nothing_where_they_do_not_add_up_and_no_report_counts_them(mlp):
    plain = tfprune.prune(mlp, RISING)
    assert [own.past for layer in plain.layers for own in layer.pruned] == [None, None]
    assert all(len(layer.added) == 2 for layer in plain.layers)
    moving = tfprune.prune(mlp, RISING, scorer="movement")
    counts = [tfprune.report(m, verbose=False).parameters.size for m in (mlp, plain, moving)]
    assert counts[0] == counts[1] == counts[2]
    assert tfprune.strip_pruning(moving).count_params() == mlp.count_params()


def test_the_stages_of_one_shot_pruning_do_not_add_up(mlp, data):
    options = {"data": data, "loss": "mse", "verbose": False}
    pruned, _ = tfprune.one_shot(mlp, 0.5, "movement", stages=2, **options)
    assert not any(own.past.known.numpy() for layer in pruned.layers for own in layer.pruned)


def test_tied_layers_and_early_stopping_keep_scores_and_masks_together(data):
    table = keras.layers.Dense(6, use_bias=False, name="tied")
    tied = keras.Sequential([keras.Input((6,)), table, keras.layers.ReLU(), table])
    tied.add(keras.layers.Dense(3, name="out"))
    stop = keras.callbacks.EarlyStopping("loss", patience=0, mode="max", restore_best_weights=True)
    pruned = tfprune.prune(tied, RISING, scorer="movement")
    update = tfprune.UpdatePruningStep(data, "mse", examples=None)
    fit(pruned, data, epochs=3, callbacks=[update, stop])
    shorter = train(tfprune.prune(tied, RISING, scorer="movement"), data, 1, "sgd")
    for ours, theirs in zip(pruned.weights, shorter.weights, strict=True):
        if ours.name != "pruning_step":  # written everywhere at the end only
            assert np.array_equal(ours.numpy(), theirs.numpy()), ours.path


def test_jax_adds_scores_up_in_its_training_state():
    run_on_jax("""
        import keras, numpy as np, tfprune
        class Sum:
            def __call__(self, weights, evidence):
                return {name: np.abs(w) for name, w in weights.items()}
            def accumulate(self, previous, scores):
                return {name: previous[name] + value for name, value in scores.items()}
        random = np.random.default_rng(0)
        x, y = random.normal(size=(64, 6)), random.normal(size=(64, 3))
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
        plan = tfprune.PolynomialDecay(0.0, 0.5, 0, 15, frequency=3)
        def train(pruned, epochs):
            options = {"shuffle": False, "verbose": 0, "batch_size": 8, "epochs": epochs}
            pruned.fit(x, y, **options, callbacks=[tfprune.UpdatePruningStep()])
        found = []
        for parts in ([2], [1, 1]):
            pruned = tfprune.prune(model, plan, scorer=Sum())
            pruned.compile("adam", "mse")
            for epochs in parts:
                train(pruned, epochs)
            found.append([np.asarray(v) for v in pruned.layers[0].added])
        assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
        assert found[0][2].sum() > np.abs(np.asarray(pruned.layers[0].kernel)).sum()
        """)
