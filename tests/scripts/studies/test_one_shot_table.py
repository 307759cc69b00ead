"""scripts/studies/one_shot_table.py, run on a small ResNet-20 and random images."""

import json
import shlex
import types

import keras
import numpy as np
import pytest

import tfprune
from models import Dataset, digits_cnn, resnet20
from scripts.lab import measuring, tables
from scripts.lab.results_file import Job
from scripts.studies import one_shot_plots, one_shot_table


def records_in(path):
    return json.loads(path.read_text())["records"]


def identity(record):
    return record["method"], record["sparsity"], record["seed"]


@pytest.fixture(scope="module")
def images():
    """A data set of 40 training and 12 test images in CIFAR's shape."""
    random = np.random.default_rng(0)
    x = random.random((52, 32, 32, 3)).astype("float32")
    y = random.integers(0, 4, 52).astype("int32")
    return Dataset("cifar10", 4, x[:40], y[:40], x[40:], y[40:])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file with the weights of a ResNet-20 of width 2."""
    keras.utils.set_random_seed(0)
    model = resnet20(4, width=2)
    arrays = {f"{la.name}/{v.name}": v.numpy() for la in model.layers for v in la.weights}
    file = tmp_path_factory.mktemp("weights") / "small.npz"
    np.savez(file, **arrays)
    return file


def one_shot_arguments(file, weights, *more):
    return [
        "--out",
        f"{file}",
        "--weights",
        f"{weights}",
        "--examples",
        "16",
        "--images",
        "12",
        "--methods",
        "fisher",
        *more,
    ]


@pytest.fixture(scope="module")
def one_shot_run(images, weights, tmp_path_factory):
    """Results file of a small run, and the arguments that made it."""
    file = tmp_path_factory.mktemp("one_shot") / "results.json"
    arguments = one_shot_arguments(file, weights, "--sparsities", "0.8", "--seeds", "3")
    assert one_shot_table.main(arguments, load=lambda name, folder: images) == 0
    return file, arguments


def test_jobs_take_seeds_one_after_the_other_with_the_dense_model_first():
    jobs = one_shot_table.plan(
        ["magnitude", "fisher"], [0.8, 0.5], [3, 1], examples=1000, images=10_000
    )
    expected = [
        job
        for seed in (3, 1)
        for job in [
            ("dense", 0.0, seed),
            *((method, s, seed) for method in ("magnitude", "fisher") for s in (0.8, 0.5)),
        ]
    ]
    assert [(job.method, job.sparsity, job.seed) for job in jobs] == expected
    assert all(job.seconds > 20 for job in jobs)  # two evaluations at the least


def test_one_shot_records_hold_the_sparsity_and_the_losses_of_every_stage(one_shot_run):
    records = records_in(one_shot_run[0])
    assert [identity(r) for r in records] == [("dense", 0.0, 3), ("fisher", 0.8, 3)]
    for record in records:
        assert record["zeros"] == pytest.approx(record["sparsity"], abs=2e-3)
        assert 0 <= record["accuracy_before"] <= 1 and 0 <= record["accuracy_after"] <= 1
        assert len(record["stages"]) == (0 if record["method"] == "dense" else 1)
        for stage in record["stages"]:
            change = stage["loss_after"] - stage["loss_before"]
            assert stage["measured_change"] == pytest.approx(change)


def test_the_command_in_the_file_names_the_same_jobs(one_shot_run):
    content = json.loads(one_shot_run[0].read_text())
    program, flag, script, *arguments = shlex.split(content["command"])
    assert (program, flag, script) == ("python", "-m", "scripts.studies.one_shot_table")
    args = one_shot_table.parse(arguments)
    jobs = one_shot_table.plan(
        args.methods, args.sparsities, args.seeds, examples=args.examples, images=args.images
    )
    assert [job.key for job in jobs] == [
        {key: record[key] for key in job.key} for job, record in zip(jobs, content["records"])
    ]
    assert "/" not in content["settings"]["weights"] and content["versions"]["tfprune"]


def test_a_finished_one_shot_run_started_again_computes_nothing(one_shot_run, images, monkeypatch):
    file, arguments = one_shot_run
    before = file.read_bytes()
    monkeypatch.setattr(one_shot_table.Experiment, "run", None)
    assert one_shot_table.main(arguments, load=lambda name, folder: images) == 0
    assert file.read_bytes() == before


def test_the_plot_is_a_png_beside_the_results(one_shot_run):
    assert one_shot_run[0].with_suffix(".png").read_bytes().startswith(b"\x89PNG\r\n")


def test_missing_weights_end_in_one_line_before_anything_is_written(images, tmp_path, capsys):
    file = tmp_path / "results.json"
    arguments = one_shot_arguments(file, tmp_path / "none.npz")
    assert one_shot_table.main(arguments, load=lambda name, folder: images) == 2
    error = capsys.readouterr().err
    assert "none.npz" in error and error.count("\n") == 1 and not file.exists()


def test_accuracy_is_measured_before_and_after_one_refresh_on_the_examples_of_the_seed(images):
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten()])
    calls = []

    def one_shot(model, sparsity, scorer, data, loss, **options):
        calls.append(("prune", data, options))
        pruned = keras.Sequential(
            [keras.Input((4,)), tfprune.PrunedLayer(keras.layers.Dense(2), tfprune.OneShot(0.5))]
        )
        return pruned, types.SimpleNamespace(to_dict=lambda: {"stages": ["one"]})

    def refresh(model, x):
        calls.append(("refresh", x))

    def accuracy(model):
        calls.append(("accuracy",))
        return float(len(calls))

    experiment = one_shot_table.Experiment(
        model, images.x_train, images.y_train, 8, accuracy, one_shot, refresh
    )
    values = experiment.run(Job("woodfisher_joint_9", 0.5, 3))
    assert [call[0] for call in calls] == ["prune", "accuracy", "refresh", "accuracy"]
    assert values["accuracy_before"] == 2.0 and values["accuracy_after"] == 4.0
    (x, y), options = calls[0][1:]
    assert options["refresh_batch_norm"] is False and options["stages"] == 9
    assert options["examples"] == 8 == len(x) == len(y)
    np.testing.assert_array_equal(calls[2][1], x)
    experiment.run(Job("magnitude", 0.9, 3))
    experiment.run(Job("magnitude", 0.9, 4))
    again, other = calls[4][1][0], calls[8][1][0]
    np.testing.assert_array_equal(again, x)
    assert not np.array_equal(other, x)


def test_a_method_in_steps_is_run_once_and_measured_at_every_sparsity_it_passes(images):
    runs = []

    def one_shot(model, sparsity, scorer, data, loss, *, on_stage, stages, **options):
        runs.append((sparsity, stages))
        for step, reached in enumerate(stages, start=1):
            layer = keras.layers.Dense(1000, use_bias=False)
            pruned = keras.Sequential([keras.Input((1,)), layer])
            kernel = np.ones((1, 1000))
            kernel[0, : round(1000 * reached)] = 0
            layer.kernel.assign(kernel)
            on_stage(pruned, tfprune.StageResult(reached, 1.0, None, 1.0 + step))

    experiment = one_shot_table.Experiment(
        keras.Sequential([keras.Input((1,))]),
        images.x_train,
        images.y_train,
        8,
        measuring.zeros,
        one_shot,
        lambda model, x: None,
    )
    for sparsity in (0.8, 0.5):
        values = experiment.run(Job("woodfisher_steps", sparsity, 0))
        assert values["zeros"] == values["accuracy_before"] == pytest.approx(sparsity)
        assert values["stages"][-1]["sparsity"] == sparsity
        json.dumps(values)
    ((reached, stages),) = runs
    assert reached == stages[-1] == 0.9 and set(stages) >= set(one_shot_table.SPARSITIES)
    experiment.run(Job("woodfisher_steps", 0.5, 1))
    assert len(runs) == 2  # another seed is another run


def test_the_evaluator_gives_the_accuracy_of_a_stripped_model(images):
    model = digits_cnn((32, 32, 3), 4, width=2)
    labels = np.arange(12) % 4
    evaluator = measuring.Evaluator(model, images.x_test, labels, batch_size=5)
    pruned = tfprune.prune(model, tfprune.OneShot(0.5))
    tfprune.PruningUpdater(pruned, keras.optimizers.SGD()).begin()
    for plain in (tfprune.strip_pruning(pruned), model):
        guesses = keras.ops.convert_to_numpy(plain(images.x_test)).argmax(-1)
        assert evaluator(plain) == np.mean(guesses == labels)
    assert measuring.zeros(model) == 0.0
    assert measuring.zeros(tfprune.strip_pruning(pruned)) == pytest.approx(0.5, abs=1e-3)


def test_every_one_shot_method_can_be_saved_with_a_model_and_has_a_line_style():
    for name, method in one_shot_table.METHODS.items():
        config = keras.saving.serialize_keras_object(method.scorer)
        assert keras.saving.deserialize_keras_object(config) == method.scorer
        json.dumps(method.describe())
    assert one_shot_plots.STYLES.keys() == one_shot_table.METHODS.keys()
    assert one_shot_table.ELSEWHERE["rows"].keys() == tables.COUNTERPARTS.keys()


def test_a_table_of_the_run_can_be_made(one_shot_run):
    run = json.loads(one_shot_run[0].read_text())
    headings, rows, about = tables.one_shot(run)
    assert headings == ["method", "80 %"]
    assert rows[1][0] == rows[3][0] == "diagonal Fisher"
    assert all(len(row) == 2 for row in rows) and f"`{run['command']}`" in about
