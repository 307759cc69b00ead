"""language_models on a small text: jobs, training, checkpoints, what is reported."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import tfprune
from models.data import text
from models.language.lstm import PRESETS as PUBLISHED
from models.language.lstm import lstm_language_model
from scripts.comparison import training
from scripts.comparison.language import language_models, lstm_presets
from scripts.lab.checkpoints import Checkpoint

RECIPE = language_models.Recipe(units=4, passes=2, parts=2, constant_parts=2, steps=5, batch_size=4)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with a text of 12 words as PTB, and presets `tiny` and `wet` for it."""
    random = np.random.default_rng(0)
    words, counts = [f"w{number:02}" for number in range(11)], {}
    for split, lines in (("train", 40), ("valid", 5), ("test", 6)):
        rows = [" ".join(random.choice(words, 11)) for _ in range(lines)]
        (tmp_path / f"ptb.{split}.txt").write_text("\n".join(rows) + "\n")
        counts[split] = 12 * lines
    small = dataclasses.replace(text.CORPORA["ptb"], words=counts, vocabulary=12)
    monkeypatch.setitem(text.CORPORA, "ptb", small)
    small_dense = dataclasses.replace(RECIPE, units=2)
    tiny = language_models.Preset((small_dense, RECIPE), (0.75,), begin=0.1, end=0.8, updates=5)
    monkeypatch.setitem(lstm_presets.PRESETS, "tiny", tiny)
    wet = dataclasses.replace(tiny, dense=(dataclasses.replace(RECIPE, dropout=0.3),))
    monkeypatch.setitem(lstm_presets.PRESETS, "wet", wet)
    # Compiling takes longer than training.
    monkeypatch.setattr(language_models, "_jit", lambda: False)
    return tmp_path


class StopAfter(keras.callbacks.Callback):
    """Stands for a kill in the middle of an epoch."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_train_batch_end(self, batch, logs=None):
        if self.epochs == 0 and batch == 3:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        self.epochs -= 1


def test_a_dense_and_a_pruned_model_are_trained_and_measured(folder, monkeypatch):
    dense, pruned = language_models.jobs("tiny", 0)[1:]
    results = [language_models.train(dense, "tiny", 0, None, data_dir=folder)]
    monkeypatch.setattr(language_models, "_jit", lambda: True)
    results.append(language_models.train(pruned, "tiny", 0, None, data_dir=folder))
    parameters = 4 * 12 + 2 * (8 * 16 + 16) + 5 * 12
    prunable = parameters - 2 * 16 - 12
    for found in results:
        assert found["parameters"] == parameters
        assert found["dense_bytes"] == 4 * parameters
        assert 1 < found["perplexity"] < 20 and 1 < found["valid_perplexity"] < 20
        assert found["words"] == 2 * 2 * 11 * 4 * 5
        assert found["seconds"] > 0 and found["cpu_seconds"] > 0
        assert json.loads(json.dumps(found)) == found
    assert results[0]["nonzeros"] == parameters
    assert results[1]["nonzeros"] == pytest.approx(parameters - 0.75 * prunable, abs=2)
    assert results[1]["bitmask_bytes"] < results[1]["dense_bytes"]


def test_a_resumed_training_equals_an_uninterrupted_one(folder):
    job = language_models.jobs("wet", 3)[-1]
    whole = language_models.train(job, "wet", 3, None, data_dir=folder)
    checkpoints = folder / "checkpoints"
    for epochs in (1, 2):  # in the middle of the first pass, in that of the second
        with pytest.raises(KeyboardInterrupt):
            language_models.train(
                job, "wet", 3, checkpoints, data_dir=folder, callbacks=[StopAfter(epochs)]
            )
    resumed = language_models.train(job, "wet", 3, checkpoints, data_dir=folder)
    assert [file.name for file in checkpoints.iterdir()] == ["lstm-wet-pruned-4-0.75-3.npz"]
    for name, value in whole.items():
        assert value == resumed[name] or "seconds" in name, name


def test_a_finished_model_is_exported_for_one_text_without_states(folder):
    job = language_models.jobs("tiny", 0)[-1]
    found = language_models.train(job, "tiny", 0, folder / "c", data_dir=folder)
    model = language_models.PROTOCOL.exported(job, "tiny", folder / "c", data_dir=folder)
    assert model.input_shape == (1, language_models.EXPORTED_WORDS)
    assert model.count_params() == found["parameters"]
    assert sum(np.count_nonzero(each) for each in model.get_weights()) == found["nonzeros"]


def test_a_finished_training_is_measured_again_without_training(folder):
    job = language_models.jobs("tiny", 0)[0]
    first = language_models.train(job, "tiny", 0, folder / "c", data_dir=folder)
    no_steps = [StopAfter(0)]
    again = language_models.train(job, "tiny", 0, folder / "c", data_dir=folder, callbacks=no_steps)
    assert all(again[name] == first[name] for name in first if "seconds" not in name)


def test_the_learning_rate_decays_with_parts_and_states_begin_anew_with_passes(folder):
    class Watcher(keras.callbacks.Callback):
        rates, fresh = [], []

        def on_train_batch_begin(self, batch, logs=None):
            if batch == 0:
                states = self.model.get_layer("lstm_1").states
                self.rates.append(float(self.model.optimizer.learning_rate))
                self.fresh.append(float(np.abs(states[0].numpy()).max()) == 0)

    job = language_models.jobs("tiny", 0)[0]
    language_models.train(job, "tiny", 0, None, data_dir=folder, callbacks=[Watcher()])
    np.testing.assert_allclose(Watcher.rates, [5, 5, 5 / 1.5, 5 / 1.5**2], rtol=1e-6)
    assert Watcher.fresh == [True, False, True, False]


def test_seeds_give_different_models_and_one_seed_the_same(folder):
    first, again, other = (
        language_models.train(language_models.jobs("tiny", s)[0], "tiny", s, None, data_dir=folder)
        for s in (0, 0, 1)
    )
    assert first["perplexity"] == again["perplexity"] != other["perplexity"]


def test_perplexity_counts_every_word_of_the_text():
    model = lstm_language_model(3, vocabulary=12, steps=5, batch_size=2, init_scale=1.0)
    words = np.random.default_rng(0).integers(0, 12, 18)
    log_probabilities = []
    for start, stop in ((0, 10), (10, 17)):  # two streams of ten words, three of them filled up
        row = np.zeros((2, 10), "int32")
        row[0, : stop - start] = words[start:stop]
        for layer in (model.get_layer("lstm_1"), model.get_layer("lstm_2")):
            layer.reset_state()
        logits = np.concatenate([np.asarray(model(part)) for part in (row[:, :5], row[:, 5:])], 1)
        log_p = np.asarray(keras.ops.log_softmax(logits[0]))
        log_probabilities += [log_p[i, words[start + i + 1]] for i in range(stop - start)]
    assert len(log_probabilities) == 17
    expected = np.exp(-np.mean(log_probabilities))
    assert language_models.perplexity(model, words) == pytest.approx(expected, rel=1e-5)


def test_a_damaged_checkpoint_is_named(folder):
    job = language_models.jobs("tiny", 0)[0]
    language_models.train(job, "tiny", 0, folder / "c", data_dir=folder)
    (file,) = (folder / "c").iterdir()
    content = file.read_bytes()
    np.savez(folder / "other.npz", more=np.zeros(3))
    for damaged in (content[:500], b"", (folder / "other.npz").read_bytes()):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="is a damaged checkpoint; delete it") as error:
            language_models.train(job, "tiny", 0, folder / "c", data_dir=folder)
        assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_a_checkpoint_of_another_text_is_refused(folder, monkeypatch):
    job = language_models.jobs("tiny", 0)[0]
    language_models.train(job, "tiny", 0, folder / "c", data_dir=folder)
    file = folder / "ptb.train.txt"
    file.write_text(file.read_text().replace("w00", "new", 1))  # as many words, one more kind
    monkeypatch.setitem(
        text.CORPORA, "ptb", dataclasses.replace(text.CORPORA["ptb"], vocabulary=13)
    )
    with pytest.raises(ValueError, match="was made by other data than there is today; --changed"):
        language_models.train(job, "tiny", 0, folder / "c", data_dir=folder)


def test_a_checkpoint_with_other_shapes_changes_nothing(tmp_path):
    def compiled(width):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(width, name="out")])
        model.compile("sgd", "mse")
        return model

    written = Checkpoint(tmp_path / "c.npz", {})
    x = np.ones((4, 3), "float32")
    compiled(2).fit(x, np.ones((4, 2)), verbose=0, callbacks=[written])
    other = compiled(5)
    before = other.get_weights()
    with pytest.raises(ValueError, match=r"out/kernel \(3, 2\) there, \(3, 5\) here"):
        Checkpoint(tmp_path / "c.npz", {}).restore(other)
    for old, new in zip(before, other.get_weights()):
        np.testing.assert_array_equal(old, new)
    assert int(other.optimizer.iterations.numpy()) == 0


def test_unknown_presets_and_foreign_jobs_are_refused(folder):
    with pytest.raises(ValueError, match="`preset` must be one of cpu, quick, ptb, paper, "):
        language_models.jobs("gpu", 0)
    job = language_models.jobs("cpu", 0)[0]
    with pytest.raises(ValueError, match="`job` must be of the preset 'tiny'.* dense-16 at 0"):
        language_models.train(job, "tiny", 0, None, data_dir=folder)
    with pytest.raises(ValueError, match="'ptb' is missing: no ptb.train.txt in"):
        language_models.train(job, "cpu", 0, None, data_dir=folder / "none")


def test_the_paper_preset_has_the_published_hyper_parameters():
    chosen = language_models.PRESETS["paper"]
    assert chosen.sparsities == (0.8, 0.85, 0.9, 0.95) and chosen.words is None
    for recipe, paper in zip(chosen.dense[-3:], PUBLISHED.values(), strict=True):
        assert (recipe.units, recipe.passes, recipe.dropout) == (
            paper.units,
            paper.epochs,
            paper.dropout,
        )
        assert recipe.parts == 1 and recipe.constant_parts == paper.constant_epochs
    large = chosen.dense[-1]
    assert (large.units, large.passes, large.dropout) == (1500, 55, 0.65)
    found = {(job.method, job.sparsity) for job in language_models.jobs("paper", 0)}
    assert {("pruned-650", 0.85), ("pruned-1500", 0.95), ("dense-200", 0.0)} < found
    assert len(found) == 5 + 2 * 4


@pytest.mark.parametrize("preset", ["cpu", "quick"])
def test_pruned_models_have_dense_ones_with_as_many_nonzeros_beside_them(preset):
    chosen = language_models.PRESETS[preset]

    def parameters(units):
        return 20_000 * units + 2 * (8 * units**2 + 4 * units) + 10_000

    dense = [parameters(recipe.units) for recipe in chosen.dense]
    assert dense == sorted(dense)
    biases = 10_000 + 8 * chosen.dense[-1].units
    for sparsity in chosen.sparsities[:2]:
        nonzeros = (1 - sparsity) * (dense[-1] - biases) + biases
        assert any(nonzeros <= size < 1.5 * nonzeros for size in dense)


def test_estimates_keep_the_promised_times():
    assert language_models.estimate("quick") < 0.75 * 8 * 60
    assert language_models.estimate("cpu", 3) < 60 * 60
    assert language_models.estimate("cpu", 3) == pytest.approx(3 * language_models.estimate("cpu"))


def test_sparsity_is_reached_with_training_left():
    for preset in language_models.PRESETS.values():
        schedule = training.schedule(preset, 0.9, 2320)
        assert isinstance(schedule, tfprune.PolynomialDecay)
        assert 0 < schedule.begin_step < schedule.end_step <= 0.7 * 2320
