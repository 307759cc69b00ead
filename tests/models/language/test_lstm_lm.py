"""lstm: architecture, states, training, export."""

from pathlib import Path

import keras
import numpy as np
import pytest

import tfprune
from models.data import text
from models.language.lstm import PRESETS, lstm_language_model, stateless
from models.language.training import ResetStates, zaremba_optimizer
from tests.support.jax_session import run_on_jax

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
WORDS = np.random.default_rng(0).integers(0, 12, 400)


def trainable(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def small(**options):
    return lstm_language_model(6, **{"vocabulary": 12, "steps": 5, "batch_size": 4, **options})


def train(model, epochs, callbacks=()):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(zaremba_optimizer(100, steps=5), loss)
    batches = text.streams(WORDS, 4, 5)
    callbacks = [ResetStates(), *callbacks]
    return model.fit(batches, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)


@pytest.mark.parametrize(
    ("size", "published"), [("small", 4.65), ("medium", 19.78), ("large", 66.02)]
)
def test_parameter_counts_are_those_of_the_paper(size, published):
    preset = PRESETS[size]
    model = lstm_language_model(preset.units, steps=preset.steps)
    assert trainable(model) == preset.parameters
    assert round(preset.parameters / 1e6, 2) == published
    assert len(model.trainable_variables) == 1 + 2 * 3 + 2


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("depth", [1, 3])
def test_parameter_count_is_the_documented_formula(tied, depth):
    units, words = 6, 12
    logits = 0 if tied else (units + 1) * words
    formula = units * words + depth * (8 * units**2 + 4 * units) + logits
    model = small(depth=depth, tied=tied)
    assert trainable(model) == formula
    assert model.count_params() - formula == 2 * depth * units * 4  # the states


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": 0}, "`units` must be at least 1. Received: units=0"),
        ({"depth": 0}, "`depth` must be at least 1. Received: depth=0"),
        ({"vocabulary": 1}, "`vocabulary` must be at least 2. Received: vocabulary=1"),
        ({"steps": 0}, "`steps` must be at least 1. Received: steps=0"),
        ({"batch_size": 0}, "`batch_size` must be at least 1. Received: batch_size=0"),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\). Received: dropout=1.0"),
        ({"init_scale": 0.0}, "`init_scale` must be > 0. Received: init_scale=0.0"),
    ],
)
def test_impossible_models_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        lstm_language_model(**options)


def test_all_weights_begin_uniform_and_independent():
    model = lstm_language_model(20, vocabulary=300, steps=2, batch_size=1, init_scale=0.05)
    for variable in model.trainable_variables:
        values = variable.numpy()
        assert 0.8 * 0.05 < np.abs(values).max() <= 0.05 and abs(values.mean()) < 0.02
    first, second = (model.get_layer(f"lstm_{n}").cell.kernel.numpy() for n in (1, 2))
    assert np.abs(first - second).max() > 0.05


def test_dropout_is_on_non_recurrent_connections_only():
    model = small(dropout=0.5)
    names = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert names == ["dropout_0", "dropout_1", "dropout_2"]
    for name in ("lstm_1", "lstm_2"):
        assert model.get_layer(name).dropout == model.get_layer(name).recurrent_dropout == 0


def test_states_are_saved_with_the_model(tmp_path):
    model = small(dropout=0.3)
    train(model, 1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    states = loaded.get_layer("lstm_2").states
    assert all(np.abs(state.numpy()).max() > 0 for state in states)
    words = np.ones((4, 5), "int32")
    np.testing.assert_array_equal(loaded(words), model(words))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_states_are_carried_from_batch_to_batch(dropout):
    model = small(dropout=dropout)
    whole = stateless(model, steps=15, batch_size=4)
    words = np.random.default_rng(1).integers(0, 12, (4, 15))
    parts = [np.asarray(model(words[:, start : start + 5])) for start in (0, 5, 10)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole(words), atol=1e-6)


def test_states_are_reset_at_every_epoch_and_evaluation_also_where_layers_are_pruned():
    class FirstStates(keras.callbacks.Callback):
        seen = []

        def on_train_batch_begin(self, batch, logs=None):
            state = np.array(self.model.get_layer("lstm_2").states[0])
            self.seen.append((batch, float(np.abs(state).max())))

    pruned = tfprune.prune(small(), tfprune.ConstantSparsity(0.5))
    train(pruned, 2, callbacks=[tfprune.UpdatePruningStep(), FirstStates()])
    assert len(FirstStates.seen) == 2 * 19
    assert all((state == 0) == (batch == 0) for batch, state in FirstStates.seen)
    batches = text.streams(WORDS, 4, 5)
    losses = [pruned.evaluate(batches, verbose=0, callbacks=[ResetStates()]) for _ in range(2)]
    assert losses[0] == losses[1]
    assert pruned.evaluate(batches, verbose=0) != losses[0]


def test_a_stateless_model_takes_any_number_of_sequences():
    model = small(stateful=False)
    words = np.random.default_rng(1).integers(0, 12, (7, 5))
    np.testing.assert_allclose(model(words)[2:3], model(words[2:3]), atol=1e-6)


@pytest.mark.parametrize("tied", [False, True])
def test_one_training_step_changes_every_weight(tied):
    model = small(tied=tied)
    before = [variable.numpy() for variable in model.trainable_variables]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(zaremba_optimizer(100, steps=5), loss)
    x, y = next(iter(text.streams(WORDS, 4, 5)))
    first = model.train_on_batch(x, y)
    assert abs(first - np.log(12)) < 0.1
    for old, variable in zip(before, model.trainable_variables):
        assert np.abs(old - variable.numpy()).max() > 0


@pytest.mark.parametrize("tied", [False, True])
def test_a_pruned_model_is_exported_without_its_states(tied, tmp_path):
    pruned = tfprune.prune(small(tied=tied), tfprune.OneShot(0.75))
    train(pruned, 1, callbacks=[tfprune.UpdatePruningStep()])
    with pytest.raises(ValueError, match="strip a pruned one first. .*'embedding', 'lstm_1'"):
        stateless(pruned)
    exported = stateless(tfprune.strip_pruning(pruned))
    assert exported.input_shape == (1, 5) and exported.count_params() == trainable(pruned)
    found = tfprune.report(exported, verbose=False)
    assert found.prunable.sparsity == pytest.approx(0.75, abs=0.01)
    done = tfprune.export.to_tflite(exported, tmp_path / "model.tflite")
    assert (tmp_path / "model.tflite").stat().st_size > 0
    assert done.largest_difference < 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "`steps` must be at least 1. Received: steps=0"),
        ({"batch_size": 0}, "`batch_size` must be at least 1. Received: batch_size=0"),
    ],
)
def test_impossible_stateless_copies_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        stateless(small(), **options)


@pytest.mark.skipif(not (SHARED / "ptb").is_dir(), reason="the text of ptb is not at hand")
def test_perplexity_falls_over_the_first_200_steps_on_real_text():
    words = text.load("ptb", "train", SHARED).tokens[:20_001]
    model = lstm_language_model(16, steps=10, batch_size=10)
    model.compile(
        zaremba_optimizer(200, steps=10),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    losses = []
    batches = text.streams(words, 10, 10)
    for start in (0, 50, 100, 150):  # the loss of every 50 steps; states go on
        part = batches.skip(start).take(50)
        losses += model.fit(part, shuffle=False, verbose=0).history["loss"]
    perplexities = np.exp(losses)
    assert 10_000 > perplexities[0] > perplexities[1] > perplexities[2] > perplexities[3]
    assert perplexities[3] < 1500


def test_states_and_training_work_on_jax():
    run_on_jax(
        """
        import keras, numpy as np
        from models.data import text
        from models.language.lstm import lstm_language_model, stateless
        from models.language.training import Perplexity, ResetStates, zaremba_optimizer
        assert keras.config.backend() == "jax"
        model = lstm_language_model(6, vocabulary=12, steps=5, batch_size=4, init_scale=0.5)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(zaremba_optimizer(19, steps=5), loss, weighted_metrics=[Perplexity()])
        words = np.arange(400) % 12
        found = model.fit(
            text.streams(words, 4, 5), epochs=3, shuffle=False, verbose=0,
            callbacks=[ResetStates()]).history["perplexity"]
        assert found[-1] < 0.7 * found[0], found
        every = text.streams(words, 4, 5, every_token=True)
        scores = [model.evaluate(every, verbose=0, callbacks=[ResetStates()]) for _ in range(2)]
        assert scores[0] == scores[1]
        x = words[:60].reshape(4, 15)
        for name in ("lstm_1", "lstm_2"):
            model.get_layer(name).reset_state()
        parts = [model.predict(x[:, a : a + 5], verbose=0) for a in (0, 5, 10)]
        whole = stateless(model, steps=15, batch_size=4)(x)
        np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-5)
        """
    )
