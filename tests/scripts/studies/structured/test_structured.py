"""scripts/studies/structured, with a ResNet-8 of width 4 on random images."""

import contextlib
import dataclasses
import json
import shlex
import shutil

import keras
import numpy as np
import pytest

from models import Dataset
from scripts.lab.results_file import Job
from scripts.readme import channels_tables
from scripts.studies.structured import command, runs
from scripts.studies.structured.presets import BUDGETS, CHOICES, L1, PRESETS, STREAM_L1, stage_of
from tfprune.scorers import Fisher

TINY = PRESETS["tiny"]
TRAINED = (L1, "bn_scale")


@pytest.fixture(scope="module")
def images():
    """A data set of 64 training and 12 test images in CIFAR's shape."""
    random = np.random.default_rng(0)
    x = random.random((76, 32, 32, 3)).astype("float32")
    y = random.integers(0, 4, 76).astype("int32")
    return Dataset("cifar10", 4, x[:64], y[:64], x[64:], y[64:])


def arguments(folder):
    places = ["--out", f"{folder}/results.json", "--checkpoints", f"{folder}/checkpoints"]
    return ["tiny", "--seeds", "0", *places]


def content(folder):
    return json.loads((folder / "results.json").read_text())


@contextlib.contextmanager
def few():
    """Two choices of channels and one budget in place of all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "BUDGETS", (0.5,))
        patch.setattr(command, "CHOICES", {name: CHOICES[name] for name in TRAINED})
        patch.setitem(PRESETS, "tiny", dataclasses.replace(TINY, trained=TRAINED))
        yield


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    """The folder of a whole run."""
    folder = tmp_path_factory.mktemp("structured")
    with few():
        assert command.main(arguments(folder), load=lambda name, where: images) == 0
    return folder


@pytest.fixture
def begun(finished, tmp_path):
    """A folder with the trained dense network alone."""
    shutil.copy(finished / "checkpoints" / "tiny" / "cifar10-dense-0-0.npz", tmp_path)
    return tmp_path


def test_every_choice_is_removed_at_once_to_every_budget():
    jobs = command.removals([3, 4], [*CHOICES])
    assert [(job.seed, job.method, job.sparsity) for job in jobs] == [
        (seed, name, 1 - macs) for seed in (3, 4) for name in CHOICES for macs in BUDGETS
    ]


@pytest.mark.parametrize(
    "long, epochs, taught", [(False, 2, (True, False)), (True, 12, (True,))]
)
def test_choices_are_trained_alike_with_a_teacher_and_without(long, epochs, taught):
    jobs = command.recoveries(PRESETS["resnet20"], [0, 1], ["taylor", L1], long=long)
    stages = [(job.seed, job.sparsity, *vars(stage_of(job.method)).values()) for job in jobs]
    assert sorted(stages) == sorted(
        (seed, 1 - macs, name, distilled, epochs)
        for seed in (0, 1)
        for macs in BUDGETS
        for name in ("taylor", L1)
        for distilled in taught
    )
    assert all(job.options["epochs"] == epochs for job in jobs)


def test_the_best_choice_and_l1_are_repeated_with_the_other_seeds(images, tmp_path, monkeypatch):
    def measured(self, job):
        accuracy = {"fisher": 0.9, L1: 0.95}.get(job.options.get("choice"), 0.5)
        names = ("accuracy",) if "epochs" in job.options else ("accuracy_before", "accuracy_after")
        names = ("accuracy",) if job.method == "dense" else names
        return {**dict.fromkeys(names, accuracy), "parameters": 1, "multiply_adds": 1}

    monkeypatch.setattr(runs.Experiment, "run", measured)
    seeds = [*arguments(tmp_path)[:1], "--seeds", "3", "4", *arguments(tmp_path)[3:]]
    assert command.main(seeds, load=lambda name, where: images) == 0
    records = content(tmp_path)["records"]
    assert {r["options"]["choice"] for r in records if r["seed"] == 3} == {*CHOICES}
    repeated = [r["options"]["choice"] for r in records if r["seed"] == 4]
    assert {*repeated} == {"fisher", L1} and len(repeated) == 2 * len(BUDGETS) * 3
    long = [r["options"]["choice"] for r in records if r["options"].get("epochs") == 2]
    assert {*long} == {"fisher", L1} and len(long) == 2 * len(BUDGETS)


def test_records_hold_accuracies_and_the_multiply_adds_that_were_asked_for(finished):
    found = content(finished)
    methods = [record["method"] for record in found["records"]]
    trained = [f"{name}-{how}-1" for name in TRAINED for how in ("distilled", "tuned")]
    long = [f"{name}-distilled-2" for name in reversed(TRAINED)]
    assert methods == ["dense", *TRAINED, *trained, *long]
    dense, *others = found["records"]
    for record in others:
        assert record["multiply_adds"] == pytest.approx(0.5 * dense["multiply_adds"], rel=0.03)
        accuracies = [value for name, value in record.items() if name.startswith("accuracy")]
        assert accuracies and all(0 <= value <= 1 for value in accuracies)
    assert shlex.split(found["command"])[-1] == "tiny" and found["versions"]["tfprune"]


def test_tables_of_the_run_can_be_made(finished):
    run = content(finished)
    headings, rows, about = channels_tables.accuracy(run)
    assert headings == ["channels chosen by", "50 %"] and f"`{run['command']}`" in about
    steps = [row[0].strip("*") for row in rows if row[0].startswith("*")]
    stages = [stage_of(f"{L1}-{name}").label for name in ("tuned-1", "distilled-1", "distilled-2")]
    assert steps[2:-1] == [f"then {label}" for label in stages]
    assert [row[0] for row in rows].count("L1 norm") == 2 + len(stages)
    headings, rows, _ = channels_tables.recovery(run)
    assert headings[1:] == ["batch normalization's scale, 50 % left", "L1 norm, 50 % left"]
    assert rows[-1][0] == "then 2 epochs with the dense network as teacher" and all(rows[-1])


def test_the_plot_is_a_png_beside_the_results(finished):
    assert (finished / "results.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_a_finished_run_started_again_computes_nothing(finished, images, monkeypatch):
    before = (finished / "results.json").read_bytes()
    monkeypatch.setattr(runs.Experiment, "run", None)
    with few():
        assert command.main(arguments(finished), load=lambda name, where: images) == 0
    assert (finished / "results.json").read_bytes() == before


def test_a_training_that_was_stopped_ends_where_an_uninterrupted_one_does(
    finished, images, monkeypatch, begun
):
    long = "cifar10-bn_scale-distilled-2-0.5-0.npz"
    taught = command.recoveries(TINY, [0], ["bn_scale"], long=True)
    job = next(job for job in taught if job.sparsity == 0.5)
    write, written = runs.Checkpoint.on_epoch_end, []

    def stop_once(self, epoch, logs=None):
        write(self, epoch, logs)
        written.append(epoch)
        if len(written) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(runs.Checkpoint, "on_epoch_end", stop_once)
    with pytest.raises(KeyboardInterrupt):
        runs.Experiment(TINY, images, None, begun).run(job)
    runs.Experiment(TINY, images, None, begun).run(job)
    assert written == [0, 1, 2, 3]
    with np.load(begun / long) as mine, np.load(finished / "checkpoints" / "tiny" / long) as own:
        assert mine.files == own.files
        for name in {*mine.files} - {"spent"}:
            np.testing.assert_array_equal(mine[name], own[name])


def test_mixed_precision_trains_the_same_network_and_says_so(finished, images, begun):
    experiment = runs.Experiment(TINY, images, None, begun, quick="mixed")
    job = next(job for job in command.recoveries(TINY, [0], ["bn_scale"]) if job.sparsity == 0.5)
    assert job.options["distilled"]
    record = experiment.run(job)
    usual = next(each for each in content(finished)["records"] if each["method"] == job.method)
    assert record["on"].endswith("in mixed precision")
    assert {*record} == {*usual} - {"method", "sparsity", "seed", "options"}
    assert abs(record["accuracy"] - usual["accuracy"]) <= 0.5
    removed = next(job for job in command.removals([0], ["bn_scale"]) if job.sparsity == 0.5)
    assert "mixed" not in experiment.run(removed)["on"]


def test_scores_of_an_earlier_plan_or_run_choose_the_same_channels(images, begun, monkeypatch):
    options = {"choice": "fisher", **CHOICES["fisher"].describe()}
    jobs = [Job("fisher", 1 - macs, 0, options) for macs in (0.75, 0.5)]
    shutil.copytree(begun, begun / "other")
    first, other, later = (
        runs.Experiment(TINY, images, None, begun / name) for name in (".", "other", ".")
    )
    known, computed = [first._cut(job) for job in jobs][1], other._cut(jobs[1])
    monkeypatch.setattr(Fisher, "__call__", None)  # no scores are computed from here on
    for model in (computed, later._cut(jobs[1])):
        for mine, own in zip(known.get_weights(), model.get_weights()):
            np.testing.assert_array_equal(mine, own)


def test_what_the_teacher_makes_is_computed_once_and_stands_beside_the_images(
    images, begun, monkeypatch
):
    job = next(j for j in command.recoveries(TINY, [3], [L1]) if j.options["distilled"])
    experiment = runs.Experiment(TINY, images, None, begun)
    dense = experiment._dense()[0]
    batches = list(experiment._batches(job, first_epoch=1, epochs=3))
    assert len(batches) == 2 * 64 // TINY.batch_size
    for (x, outputs), labels in batches:
        np.testing.assert_allclose(outputs, dense.predict_on_batch(x), rtol=1e-4, atol=1e-5)
        assert len(labels) == TINY.batch_size
    monkeypatch.setattr(keras.Model, "predict_on_batch", None)  # nothing is computed from here on
    later = runs.Experiment(TINY, images, None, begun)
    for mine, own in zip(later._batches(job, 1, 3), batches, strict=True):
        for part, same in zip(keras.tree.flatten(mine), keras.tree.flatten(own)):
            np.testing.assert_array_equal(part, same)


def test_only_choices_that_say_so_take_channels_of_the_residual_streams(images, begun):
    experiment = runs.Experiment(TINY, images, None, begun)
    jobs = [job for job in command.removals([0], [L1, STREAM_L1]) if job.sparsity == 0.5]
    kept, cut = (experiment._cut(job).get_layer("layer3_0_conv2").filters for job in jobs)
    assert cut < kept == 16


def test_missing_weights_end_in_one_line(images, tmp_path, capsys):
    wrong = ["resnet20", *arguments(tmp_path)[1:], "--weights", f"{tmp_path}/none.npz"]
    assert command.main(wrong, load=lambda name, where: images) == 2
    error = capsys.readouterr().err
    assert "none.npz" in error and error.count("\n") == 1


def test_choices_say_what_they_are():
    described = {"scorer": repr(Fisher()), "examples": 1000, "normalize": False, "streams": False}
    assert CHOICES["fisher"].describe() == described
    assert CHOICES["taylor_normalized"].normalize and not CHOICES["taylor"].normalize
