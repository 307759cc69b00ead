"""scripts/studies/mobilenet_imagenet.py, run on a small network and images made here."""

import io
import json
import shlex
import zipfile

import keras
import numpy as np
import pytest
from keras import layers

from scripts.lab.results_file import Job
from scripts.readme import export_tables
from scripts.studies import mobilenet_imagenet
from tfprune.export.run import wasm

COUNT, CLASSES, CALIBRATION = 14, 6, 6


def small_network():
    """A separable network over images of 16 x 16 pixels, with batch normalization."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.ZeroPadding2D(((0, 1), (0, 1))),
            layers.Conv2D(8, 3, strides=2, use_bias=False, name="stem"),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.DepthwiseConv2D(3, padding="same", use_bias=False),
            layers.Conv2D(32, 1, use_bias=False, name="pointwise"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(keepdims=True),
            layers.Conv2D(CLASSES, 1, name="scores"),
            layers.Flatten(),
            layers.Softmax(),
        ]
    )


def content(file):
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A zip of random images, named by their classes."""
    path = tmp_path_factory.mktemp("images") / "images.zip"
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(COUNT):
            buffer = io.BytesIO()
            pixels = rng.uniform(0, 255, (16, 16, 3))
            keras.utils.array_to_img(pixels, scale=False).save(buffer, "JPEG")
            archive.writestr(f"{number % CLASSES}_{number}.jpg", buffer.getvalue())
    return path


@pytest.fixture(scope="module", autouse=True)
def small():
    """Puts the small network and few calibration images in the place of the script's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mobilenet_imagenet, "load_mobilenet", lambda path: small_network())
        patch.setattr(mobilenet_imagenet, "CALIBRATION", CALIBRATION)
        yield


def arguments(file, images, *more):
    return [
        "--out",
        f"{file}",
        "--images",
        f"{images}",
        "--weights",
        "small.npz",
        "--runs",
        "3",
        "--sparsities",
        "0.8",
        *more,
    ]


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    """The results file of a run with two seeds, none of which exports."""
    file = tmp_path_factory.mktemp("run") / "results.json"
    assert mobilenet_imagenet.main(arguments(file, images, "--seeds", "1", "2")) == 0
    return file


def test_jobs_are_the_dense_network_and_every_method_seed_after_seed():
    jobs = mobilenet_imagenet.plan([0.5, 0.8], [0, 3])
    names = ["dense", *["magnitude"] * 2, *["reconstruction"] * 2]
    assert [job.method for job in jobs] == 2 * names
    assert [job.seed for job in jobs] == [0] * 5 + [3] * 5
    assert [job.sparsity for job in jobs[:5]] == [0, 0.5, 0.8, 0.5, 0.8]


def test_calibration_and_measurement_share_no_image(images):
    x, y = mobilenet_imagenet.load_imagenet_sample(images)
    experiment = mobilenet_imagenet.Experiment(small_network(), x, y, 3)
    (chosen, test), (again, _), (other, _) = map(experiment.split, (1, 1, 2))
    assert sorted([*chosen, *test]) == list(range(COUNT)) and len(chosen) == CALIBRATION
    assert list(chosen) == list(again) and list(chosen) != list(other)


def test_accuracies_count_the_best_and_the_best_five():
    scores = np.array([[6, 5, 4, 3, 2, 1], [6, 5, 4, 3, 2, 1], [1, 2, 3, 4, 5, 6]], float)
    found = mobilenet_imagenet.accuracies(scores, np.array([0, 4, 0]))
    assert found == {"top1": pytest.approx(1 / 3), "top5": pytest.approx(2 / 3)}


def test_records_hold_the_zeros_and_both_accuracies(finished):
    records = content(finished)["records"]
    methods = ["dense", "magnitude", "reconstruction"]
    assert [(r["method"], r["seed"]) for r in records] == [(m, s) for s in (1, 2) for m in methods]
    prunable = 32 * 8 + 32 * CLASSES  # the stem and the depthwise kernel stay dense
    share = prunable / (prunable + 27 * 8 + 9 * 8)
    for record in records:
        assert 0 <= record["top1"] <= record["top5"] <= 1 and "files" not in record
        if record["method"] != "dense":
            assert record["zeros"] == pytest.approx(0.8 * share, abs=0.01)
            assert 0 <= record["top1_before_refresh"] <= 1


def test_a_finished_run_started_again_computes_nothing(finished, images, monkeypatch):
    before = finished.read_bytes()
    monkeypatch.setattr(mobilenet_imagenet.Experiment, "run", None)
    assert mobilenet_imagenet.main(arguments(finished, images, "--seeds", "1", "2")) == 0
    assert finished.read_bytes() == before


def test_a_stopped_run_goes_on_where_it_was(finished, images, monkeypatch, tmp_path, capsys):
    file, done = tmp_path / "results.json", []

    def run(self, job):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job)
        return {"top1": 0.5, "top5": 0.75}

    monkeypatch.setattr(mobilenet_imagenet.Experiment, "run", run)
    assert mobilenet_imagenet.main(arguments(file, images, "--seeds", "1")) == 130
    assert "goes on from here" in capsys.readouterr().err
    assert len(content(file)["records"]) == 2
    done.clear()
    assert mobilenet_imagenet.main(arguments(file, images, "--seeds", "1")) == 0
    assert [job.method for job in done] == ["reconstruction"]


def test_the_table_of_accuracies_can_be_made(finished):
    run = content(finished)
    assert shlex.split(run["command"])[1:3] == ["-m", "scripts.studies.mobilenet_imagenet"]
    headings, rows, about = export_tables.mobilenet_accuracy(run)
    assert headings == ["method", "80 %"] and len(rows) == 9
    assert f"{CALIBRATION} of them" in about and "2 seeds" in about


def test_files_of_the_first_seed_are_measured_in_both_runtimes(images, monkeypatch):
    if not wasm.is_installed():
        pytest.skip("Node or LiteRT.js is missing")
    monkeypatch.setattr(mobilenet_imagenet, "KINDS", {None: "wasm"})
    x, y = mobilenet_imagenet.load_imagenet_sample(images)
    experiment = mobilenet_imagenet.Experiment(small_network(), x, y, 3)
    values = experiment.run(Job("reconstruction", 0.8, mobilenet_imagenet.SEEDS[0]))
    assert [file["name"] for file in values["files"]] == ["dense", "float32"]
    dense, floats = values["files"]
    assert dense["native"]["ratio"] == dense["wasm"]["ratio"] == 1.0
    assert dense["top1"] == floats["top1"] == values["top1"]
    assert floats["bytes"] < dense["bytes"] and floats["sparse_multiply_adds"] > 0
    json.dumps(values)


@pytest.mark.parametrize(
    "wrong, words",
    [
        (["--sparsities", "1"], "must be a fraction in (0, 1). Received: 1"),
        (["--seeds", "-1"], "must be an integer in [0, 2^32). Received: -1"),
        (["--runs", "0"], "must be an integer in [1, 10^6]. Received: 0"),
        (["--image", "x.zip"], "unrecognized arguments: --image"),
    ],
)
def test_a_wrong_argument_is_one_line(wrong, words, capsys):
    with pytest.raises(SystemExit) as stop:
        mobilenet_imagenet.main(wrong)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and words in error and error.count("\n") == 1


def test_missing_images_are_one_line_before_anything_is_written(tmp_path, capsys):
    file = tmp_path / "results.json"
    assert mobilenet_imagenet.main(arguments(file, tmp_path / "none.zip")) == 2
    error = capsys.readouterr().err
    assert "none.zip" in error and error.count("\n") == 1 and not file.exists()


def test_other_images_than_in_the_file_are_refused_in_one_line(finished, images, tmp_path, capsys):
    before = finished.read_bytes()
    assert mobilenet_imagenet.main(arguments(finished, tmp_path / "other.zip")) == 2
    error = capsys.readouterr().err
    assert "'images.zip' there, 'other.zip' here" in error and error.count("\n") == 1
    assert finished.read_bytes() == before
