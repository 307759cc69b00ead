"""scripts/comparison/command.py on a tiny family, and the image family on small images."""

import dataclasses
import json
import os
import types
from unittest import mock

import keras
import numpy as np
import pytest

import models
from models import Dataset
from models.images.resnet import normalize
from scripts.comparison import command as comparison
from scripts.comparison import comparison_table
from scripts.comparison.families import FAMILIES
from scripts.comparison.images import classifiers, cnn_data, cnn_presets
from scripts.comparison.presets import Continuation
from scripts.lab import measuring
from scripts.lab.results_file import Job


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_quick_and_cpu_presets_whose_jobs_prune_the_largest(name):
    module = comparison.MODULES[name]
    for preset in ("cpu", "quick"):
        jobs = module.jobs(preset, 0)
        assert jobs[0].sparsity == 0 and jobs[-1].sparsity > 0
        assert module.estimate(preset, 2) == pytest.approx(2 * module.estimate(preset, 1))
    assert module.estimate("cpu", 3) < 3600 * 2  # on one of two cores
    assert module.estimate("quick", 1) < 480 * 2


class Tiny(types.SimpleNamespace):
    """A family whose models are two numbers."""

    PRESETS = {"cpu": None}

    def jobs(self, preset, seed):
        return [Job("dense-1", 0.0, seed), Job("pruned-2", 0.5, seed)]

    def estimate(self, preset, seeds):
        return 2.0 * seeds

    def train(self, job, preset, seed, checkpoints, data_dir, callbacks, changed):
        self.trained.append(job)
        size = 100 if job.sparsity else 200
        sizes = ("nonzeros", "bitmask_bytes", "csr_bytes", "dense_bytes")
        quality = 0.9 if job.sparsity else 0.8 + 0.001 * seed
        return {"accuracy": quality, **{name: size for name in sizes}}


def test_a_run_goes_on_after_a_stop_and_writes_table_and_plot(tmp_path, monkeypatch, capsys):
    tiny = Tiny(trained=[])
    monkeypatch.setitem(comparison.MODULES, "cnn", tiny)
    out = tmp_path / "out.json"
    arguments = ["cnn", "--out", f"{out}", "--checkpoints", f"{tmp_path}"]
    assert comparison.main([*arguments, "--seeds", "1"]) == 0
    assert len(tiny.trained) == 2
    assert comparison.main([*arguments, "--seeds", "2"]) == 0
    assert len(tiny.trained) == 4  # the first seed's models are not trained again
    content = json.loads(out.read_text())
    assert len(content["records"]) == 4 and content["rows"][0]["seeds"] == [0, 1]
    assert out.with_suffix(".png").stat().st_size > 5000
    said = capsys.readouterr().out
    assert "about 2 s on one core in all" in said
    assert "pruned-2 at 0.5 beats dense-1" in said and "InceptionV3" in said
    rates = {row["method"]: row["compression_rate"] for row in content["rows"]}
    assert rates == {"dense-1": 1.0, "pruned-2": 2.0} and "space saving: 1 - " in said


def test_seeds_of_several_machines_share_a_file_that_names_them(tmp_path, monkeypatch):
    monkeypatch.setitem(comparison.MODULES, "cnn", Tiny(trained=[]))
    out = tmp_path / "o.json"
    arguments = ["cnn", "--out", f"{out}", "--only", "dense-1", "--seeds"]
    for number, device in enumerate((None, "NVIDIA H200"), 1):
        monkeypatch.setattr(measuring, "accelerator", lambda device=device: device)
        monkeypatch.setattr(measuring, "versions", lambda number=number: {"keras": f"{number}"})
        assert comparison.main([*arguments, f"{number}"]) == 0
    content = json.loads(out.read_text())
    places = [record["trained_on"] for record in content["records"]]
    assert [place.split(" on ")[1] for (place,) in places] == ["a CPU", "an NVIDIA H200"]
    _, rows, about = comparison_table.readme(FAMILIES["cnn"], content)
    assert rows[0][-1] == "" and "No time where the seeds of a model" in about
    assert f"on {os.cpu_count()} " in about and " cores and one NVIDIA H200; keras 1 and 2" in about


def test_only_the_methods_asked_for_are_trained_in_their_order(tmp_path, monkeypatch, capsys):
    tiny = Tiny(trained=[])
    monkeypatch.setitem(comparison.MODULES, "cnn", tiny)
    arguments = ["cnn", "--out", f"{tmp_path / 'o.json'}", "--seeds", "1", "--only"]
    assert comparison.main([*arguments, "pruned-2", "dense-1"]) == 0
    assert [job.method for job in tiny.trained] == ["pruned-2", "dense-1"]
    assert comparison.main([*arguments, "dense-3"]) == 2
    error = capsys.readouterr().err
    assert "`--only` must be among dense-1, pruned-2, or such a name:sparsity. Received: " in error
    arguments[2] = f"{tmp_path / 'new' / 'o.json'}"
    assert comparison.main([*arguments, "dense-3"]) == 2
    assert not (tmp_path / "new").exists()  # a refused command leaves nothing behind


def test_one_sparsity_of_a_method_can_be_asked_for(tmp_path, monkeypatch):
    class Two(Tiny):
        def jobs(self, preset, seed):
            return [Job("pruned-2", sparsity, seed) for sparsity in (0.5, 0.75)]

    two = Two(trained=[])
    monkeypatch.setitem(comparison.MODULES, "cnn", two)
    arguments = ["cnn", "--out", f"{tmp_path / 'o.json'}", "--seeds", "2", "--only"]
    assert comparison.main([*arguments, "pruned-2:0.75"]) == 0
    assert [(job.sparsity, job.seed) for job in two.trained] == [(0.75, 0), (0.75, 1)]
    assert comparison.main([*arguments, "pruned-2:0.8"]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cnn", "--preset", "gpu"], "`--preset` must be one of cpu, quick, resnet"),
        (["cnn", "--quick", "--preset", "cpu"], "--preset: not allowed with argument --quick"),
        (["rnn"], "invalid choice: 'rnn'"),
        (["cnn", "--seeds", "0"], "an integer in"),
        (["cnn", "--out", "x.png"], "`--out` must not end in .png, the plot's ending"),
        (["nmt", "--out", "/dev/null/x.json"], "`--out` must be in a writable folder"),
        (["cnn", "--mixed"], "`--mixed` must be left out but for lstm. Received: cnn"),
        (["lstm", "--mixed"], "language models in mixed precision need JAX. Received: tensorflow"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, words, capsys):
    try:
        status = comparison.main(arguments)
    except SystemExit as stop:  # argparse's way out
        status = stop.code
    error = capsys.readouterr().err
    assert status == 2 and words in error and error.count("\n") == 1


PRESET = cnn_presets.Preset(
    "fashion_mnist",
    ("lenet-300-100", "lenet-5"),
    (1e4, 1e5),
    (0.5,),
    epochs=2,
    batch_size=8,
    updates=2,
)


@pytest.fixture
def images(monkeypatch):
    monkeypatch.setitem(cnn_presets.PRESETS, "tiny", PRESET)
    random = np.random.default_rng(0)
    x = random.random((24, 28, 28, 1)).astype("float32")
    y = random.integers(0, 4, 24).astype("int32")
    return lambda name, where: Dataset(name, 4, x[:16], y[:16], x[16:], y[16:])


def test_a_stopped_training_ends_as_one_that_was_not(images, tmp_path):
    job = classifiers.jobs("tiny", 0)[-1]
    whole = classifiers.train(job, "tiny", 0, tmp_path / "a", load=images)

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        classifiers.train(job, "tiny", 0, tmp_path / "b", load=images, callbacks=[Stop()])
    with pytest.raises(ValueError, match="must be trained to the end.* is at step .* of"):
        classifiers.PROTOCOL.exported(job, "tiny", tmp_path / "b", load=images)
    resumed = classifiers.train(job, "tiny", 0, tmp_path / "b", load=images)
    untimed = {name for name in whole if "seconds" not in name}
    assert {n: resumed[n] for n in untimed} == {n: whole[n] for n in untimed}
    assert 0 < whole["nonzeros"] < whole["parameters"]
    plain = classifiers.PROTOCOL.exported(job, "tiny", tmp_path / "a", load=images)
    assert sum(np.count_nonzero(w) for w in plain.get_weights()) == whole["nonzeros"]
    names = [next((tmp_path / run).glob("*.npz")) for run in ("a", "b")]
    first, second = (np.load(name) for name in names)
    for key in first.files:
        if key not in ("spent", "settings"):
            np.testing.assert_array_equal(first[key], second[key])


def test_given_weights_are_measured_as_they_are_and_pruned_from_there_and_others_refused(
    tmp_path, monkeypatch
):
    keras.utils.set_random_seed(1)
    given = models.build("resnet20", width=2)
    (tmp_path / "given").mkdir()
    np.savez(
        tmp_path / "given" / "w.npz",
        **{f"{layer.name}/{v.name}": v for layer in given.layers for v in layer.weights},
    )
    preset = dataclasses.replace(
        cnn_presets.PRESETS["cifar10"],
        epochs=1,
        batch_size=8,
        updates=2,
        continuation=Continuation(2, 1e-9, "given/w.npz"),
    )
    monkeypatch.setitem(cnn_presets.PRESETS, "tiny", preset)
    random = np.random.default_rng(0)
    x, y = random.random((24, 32, 32, 3)).astype("float32"), random.integers(0, 10, 24)
    options = {"data_dir": tmp_path / "tfds", "load": lambda name, where: data}
    data = Dataset("cifar10", 10, x[:16], y[:16], x[16:], y[16:])
    small, _, dense, pruned = classifiers.jobs("tiny", 0)[:4]
    assert (small.options["epochs"], dense.options["epochs"]) == (1, 0)

    found = classifiers.train(dense, "tiny", 0, tmp_path / "c", **options)
    right = np.argmax(given.predict(normalize(x[16:]), verbose=0), axis=1) == y[16:]
    assert found["accuracy"] == pytest.approx(right.mean())
    assert not list((tmp_path / "c").iterdir())  # nothing was trained

    found = classifiers.train(pruned, "tiny", 0, tmp_path / "c", **options)
    with np.load(tmp_path / "c" / "cnn-tiny-pruned-resnet20-0.9-0.npz") as content:
        arrays = [content[name] for name in content.files if name.isdigit()]
    kernel = given.get_layer("conv1").kernel.numpy()  # hardly moved at this learning rate
    assert any(a.shape == kernel.shape and np.abs(a - kernel).max() < 1e-5 for a in arrays)
    file = tmp_path / "given" / "w.npz"
    with np.load(file) as content:
        np.savez(file, **{name: content[name] * np.float32(1.1) for name in content.files})
    with pytest.raises(ValueError, match="was made by other data than there is today"):
        classifiers.train(pruned, "tiny", 0, tmp_path / "c", **options)
    prunable = sum(v.size for v in (w.numpy() for w in given.trainable_variables) if v.ndim > 1)
    dense_kernel = kernel.size
    left = found["parameters"] - 0.9 * (prunable - dense_kernel)
    assert found["nonzeros"] == pytest.approx(left, rel=0.05)


def test_missing_weights_are_one_line(tmp_path):
    with pytest.raises(ValueError, match="the weights a/w.npz must be at .* or ") as error:
        classifiers.weights_file("a/w.npz", tmp_path)
    assert str(tmp_path / "a" / "w.npz") in str(error.value)


def test_small_images_are_normalized_after_they_were_moved():
    x = np.zeros((8, 32, 32, 3), "float32")
    data = Dataset("cifar10", 10, x, np.zeros(8, "int32"), x, np.zeros(8, "int32"))
    preset = dataclasses.replace(cnn_presets.PRESETS["cifar10"], batch_size=8)
    images = cnn_data.Small(data, preset)
    ((batch, _),) = images.epoch(0, 0)
    expected = normalize(np.zeros((1, 1, 1, 3)))
    np.testing.assert_allclose(batch, np.broadcast_to(expected, batch.shape), rtol=1e-6)
    model = mock.Mock(evaluate=lambda x, y, **options: x)
    np.testing.assert_array_equal(images.evaluate(model), normalize(x))


def test_a_job_of_another_preset_is_refused(images):
    job = classifiers.jobs("quick", 0)[0]
    with pytest.raises(ValueError, match="`job` must be of the preset 'tiny'"):
        classifiers.train(job, "tiny", 0, None, load=images)


def test_a_job_of_another_seed_is_refused(images):
    job = classifiers.jobs("tiny", 1)[0]
    with pytest.raises(ValueError, match="must be of the preset 'tiny' and its seed"):
        classifiers.train(job, "tiny", 0, None, load=images)
