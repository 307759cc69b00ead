"""translation_models: translation models trained, pruned, interrupted and measured."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest

import tfprune
from models.data import translation_batches
from models.translation import encoder_decoder
from scripts.comparison.presets import Continuation
from scripts.comparison.translation import nmt_presets, translation_models
from scripts.comparison.translation.translation_models import estimate, jobs, train

NUMBERS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}
TINY = nmt_presets.Preset(
    units=(4, 16),
    sparsities=(0.5,),
    vocabulary=40,
    depth=1,
    dropout=0.1,
    epochs=3,
    batch_size=16,
    max_length=20,
    bucket=20,
    learning_rate=0.02,
    updates=3,
    beam=2,
)


# The best epoch counts, and the pruned model goes on from the dense one.
CONTINUED = dataclasses.replace(
    TINY,
    units=(8,),
    best=True,
    begin=0.0,
    continuation=Continuation(2, 0.01),
    taught=Continuation(2, 0.01, alpha=0.5),
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(nmt_presets.PRESETS, "tiny", TINY)
    monkeypatch.setitem(nmt_presets.PRESETS, "continued", CONTINUED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A corpus of numbers that are counted in two languages."""
    root = tmp_path_factory.mktemp("text")
    random = np.random.default_rng(0)
    for split, count in (("train", 96), ("val", 8), ("test2016", 8)):
        english = [random.choice(list(NUMBERS), random.integers(1, 5)) for _ in range(count)]
        german = [[NUMBERS[word] for word in sentence] for sentence in english]
        for language, sentences in (("en", english), ("de", german)):
            text = "".join(" ".join(sentence) + "\n" for sentence in sentences)
            (root / f"{language}.{split}.txt").write_text(text, encoding="utf-8")
    return root


def pruned_job():
    return jobs("tiny", 0)[-1]


class StopAfter(keras.callbacks.Callback):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_jobs_are_the_dense_models_and_the_widest_one_pruned():
    found = [(job.method, job.sparsity, job.seed) for job in jobs("tiny", 7)]
    assert found == [("dense-4", 0.0, 7), ("dense-16", 0.0, 7), ("pruned-16", 0.5, 7)]
    assert len({job.method for job in jobs("cpu", 0) if not job.sparsity}) >= 3


def test_presets_fit_the_time_that_they_are_for():
    assert estimate("cpu", 3) < 2 * 60 * 60 and estimate("quick") < 8 * 60
    assert estimate("cpu", 2) == 2 * estimate("cpu")
    assert estimate("paper") > 100 * estimate("cpu")


def test_the_paper_preset_has_the_published_hyper_parameters():
    preset = nmt_presets.PRESETS["paper"]
    assert (preset.units[-1], preset.depth, preset.vocabulary) == (1024, 4, 36_548)
    assert nmt_presets.PRESETS["paper-de-en"].pair == "de-en"
    rate = preset.make_optimizer(340_000).learning_rate
    rates = preset.make_optimizer(340_000)._learning_rate
    assert float(rate) == float(rates(169_999)) == 1.0
    assert float(rates(170_001)) == 0.5 and float(rates(339_999)) == 0.5**10


def test_a_pruned_model_is_trained_and_measured_and_other_data_are_refused(folder, tmp_path):
    found = train(pruned_job(), "tiny", 0, tmp_path, data_dir=folder)
    assert [file.name for file in tmp_path.iterdir()] == ["nmt-tiny-pruned-16-0.5-0.npz"]
    assert 0.45 < 1 - found["nonzeros"] / found["parameters"] < 0.5  # biases stay
    assert found["bitmask_bytes"] < found["dense_bytes"]
    assert found["sentences"] == 3 * 96
    assert found["loss"] < np.log(TINY.vocabulary) and 0 <= found["bleu"] <= 100
    assert "tok:13a" in found["signature"]

    other = dataclasses.replace(TINY, vocabulary=38)
    nmt_presets.PRESETS["tiny"] = other
    with pytest.raises(ValueError, match="was made by other data than there is today"):
        train(jobs("tiny", 0)[-1], "tiny", 0, tmp_path, data_dir=folder)


class Losses(keras.callbacks.Callback):
    """Validation loss of every epoch."""

    def __init__(self, texts):
        super().__init__()
        self.texts, self.losses = texts, []

    def on_epoch_end(self, epoch, logs=None):
        batches = translation_batches.batches(
            self.texts.valid, batch_size=16, max_length=20, bucket=20
        )
        self.losses.append(translation_models.token_loss(self.model, batches))


@pytest.fixture(scope="module")
def dense_run(folder, tmp_path_factory):
    """The folder of a dense model's checkpoint, its record, and its losses of every epoch."""
    checkpoints = tmp_path_factory.mktemp("checkpoints")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(nmt_presets.PRESETS, "continued", CONTINUED)
        keras.utils.set_random_seed(0)
        watch = Losses(translation_models.read(CONTINUED, folder))
        dense, options = jobs("continued", 0)[0], {"data_dir": folder, "callbacks": [watch]}
        record = train(dense, "continued", 0, checkpoints, **options)
    return checkpoints, record, watch.losses


def test_the_best_epoch_of_a_dense_run_counts(dense_run):
    _, found, losses = dense_run
    assert found["valid_loss"] == pytest.approx(min(losses), rel=1e-5)
    assert found["sentences"] == 3 * 96


@pytest.mark.parametrize("changed", ["refuse", "start-over"])
def test_a_changed_dense_run_that_a_pruned_one_goes_on_from_is_not_begun_anew(
    folder, dense_run, monkeypatch, capsys, changed
):
    monkeypatch.setattr(translation_models.PROTOCOL, "code", lambda job: "other")
    checkpoints, found, _ = dense_run
    (file,) = checkpoints.iterdir()
    before, pruned = file.read_bytes(), jobs("continued", 0)[1]
    options = {"data_dir": folder, "changed": changed}
    with pytest.raises(ValueError, match="dense-8-0-0.npz was made by other code") as error:
        train(pruned, "continued", 0, checkpoints, **options)
    message = str(error.value)
    assert "`--changed go-on` takes" in message and "another `--out` trains all again" in message
    assert "begins this training anew" not in message
    assert "begun anew" not in capsys.readouterr().err
    assert file.read_bytes() == before and [*checkpoints.iterdir()] == [file]
    with pytest.raises(ValueError, match="dense-8-0-0.npz was made by other .* only read here"):
        dense = jobs("continued", 0)[0]
        translation_models.PROTOCOL.exported(dense, "continued", checkpoints, **options)


def test_a_changed_dense_run_is_taken_if_told_so(folder, dense_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(translation_models.PROTOCOL, "code", lambda job: "other")
    shutil.copytree(dense_run[0], tmp_path, dirs_exist_ok=True)
    options = {"data_dir": folder, "changed": "go-on", "callbacks": [StopAfter(1)]}
    with pytest.raises(KeyboardInterrupt):
        train(jobs("continued", 0)[1], "continued", 0, tmp_path, **options)
    assert "taken up all the same" in capsys.readouterr().err


def test_a_run_with_a_teacher_goes_on_from_the_best_epoch_of_the_dense_one(
    folder, tmp_path, dense_run
):
    pruned = next(job for job in jobs("continued", 0) if job.method == "taught-8")
    missing = "dense-8 at 0, seed 0 must be trained first: taught-8.* another `--out` trains it"
    with pytest.raises(ValueError, match=missing):
        train(pruned, "continued", 0, tmp_path, data_dir=folder)
    checkpoints, found, _ = dense_run
    shutil.copytree(checkpoints, tmp_path, dirs_exist_ok=True)

    class First(Losses):
        def on_train_batch_begin(self, batch, logs=None):
            if not self.losses:
                self.on_epoch_end(0)

    watch = First(translation_models.read(CONTINUED, folder))
    whole = train(pruned, "continued", 0, tmp_path, data_dir=folder, callbacks=[watch])
    assert watch.losses[0] == pytest.approx(found["valid_loss"], rel=1e-5)
    assert whole["valid_loss"] == pytest.approx(min(watch.losses[1:]), rel=1e-5)
    assert 0.4 < 1 - whole["nonzeros"] / whole["parameters"] < 0.5
    assert whole["sentences"] == 2 * 96

    file = tmp_path / "nmt-continued-taught-8-0.5-0.npz"
    file.unlink()
    with pytest.raises(KeyboardInterrupt):
        stop = StopAfter(translation_models.read(CONTINUED, folder).steps + 1)
        train(pruned, "continued", 0, tmp_path, data_dir=folder, callbacks=[stop])
    assert file.exists()
    resumed = train(pruned, "continued", 0, tmp_path, data_dir=folder)
    assert all(resumed[name] == whole[name] for name in whole if "seconds" not in name)
    dense = tmp_path / "nmt-continued-dense-8-0-0.npz"
    with np.load(dense) as content:
        np.savez(dense, **{k: v * 2 if v.dtype == "float32" else v for k, v in content.items()})
    with pytest.raises(ValueError, match="taught-8-0.5-0.npz was made by other data"):
        train(pruned, "continued", 0, tmp_path, data_dir=folder)


def test_the_teacher_is_the_dense_model_and_its_share_counts(folder, dense_run, monkeypatch):
    taught = next(job for job in jobs("continued", 0) if job.method == "taught-8")
    checkpoints, found, _ = dense_run
    seen = []
    real = tfprune.distill

    def watched(student, teacher, **options):
        texts = translation_models.read(CONTINUED, folder)
        batches = translation_batches.batches(
            texts.valid, batch_size=16, max_length=20, bucket=20
        )
        seen.append((translation_models.token_loss(teacher, batches), options["alpha"]))
        return real(student, teacher, **options)

    monkeypatch.setattr(tfprune, "distill", watched)
    with pytest.raises(KeyboardInterrupt):
        options = {"data_dir": folder, "callbacks": [StopAfter(1)]}
        train(taught, "continued", 0, checkpoints, **options)
    assert seen == [(pytest.approx(found["valid_loss"], rel=1e-5), 0.5)]
    assert taught.options == {**jobs("continued", 0)[1].options, "alpha_of_teacher": 0.5}


def test_a_finished_model_is_exported_for_sentences_of_one_length(folder, monkeypatch, dense_run):
    monkeypatch.setattr(translation_models, "EXPORTED_TOKENS", 20)
    checkpoints, found, _ = dense_run
    dense = jobs("continued", 0)[0]
    model = translation_models.PROTOCOL.exported(dense, "continued", checkpoints, data_dir=folder)
    assert model.input_shape == [(None, 20), (None, 20)]
    texts = translation_models.read(CONTINUED, folder)
    padded = translation_batches.batches(texts.valid, batch_size=8, max_length=20, bucket=20)
    loss = translation_models.token_loss(model, padded)
    assert loss == pytest.approx(found["valid_loss"], rel=1e-5)


def test_the_loss_counts_every_token_once(folder):
    texts = translation_models.read(TINY, folder)
    model = encoder_decoder.seq2seq(4, depth=1, source_vocabulary=40, target_vocabulary=40)
    found = [
        translation_models.token_loss(
            model, translation_batches.batches(texts.valid, batch_size=size, max_length=20)
        )
        for size in (1, 8)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[0] == pytest.approx(np.log(40), rel=0.01)


@pytest.mark.parametrize("call", [estimate, lambda name: jobs(name, 0)])
def test_an_unknown_preset_names_the_known_ones(call):
    with pytest.raises(ValueError, match="`preset` must be one of cpu, quick, paper, paper-de-en"):
        call("gpu")


def test_a_job_of_another_preset_is_refused(folder):
    with pytest.raises(ValueError, match="`job` must be of the preset 'tiny' and its seed. Rec"):
        train(jobs("cpu", 0)[0], "tiny", 0, None, data_dir=folder)


def test_missing_text_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="there is no .*en.train.txt") as error:
        train(jobs("tiny", 0)[0], "tiny", 0, tmp_path / "checkpoints", data_dir=tmp_path)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_text_without_sentences_that_fit_is_refused(folder, monkeypatch):
    monkeypatch.setitem(nmt_presets.PRESETS, "tiny", dataclasses.replace(TINY, max_length=2))
    with pytest.raises(ValueError, match="must have sentences of at most 2 tokens. Rec.* none"):
        train(jobs("tiny", 0)[0], "tiny", 0, None, data_dir=folder)
