"""scripts/studies/mobilenet_channels.py, run on a small network and images made here."""

import io
import json
import zipfile

import keras
import numpy as np
import pytest
from keras import layers

from scripts.readme import channels_tables
from scripts.studies import mobilenet_channels as study

COUNT, CLASSES, CALIBRATION = 14, 6, 8


def small_network(path=None):
    """A convolutional network with batch normalization that returns probabilities."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(8, 3, strides=2, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.Conv2D(24, 1, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6.0, name="inside"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(CLASSES, "softmax"),
        ]
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A zip of random images, named by their classes."""
    path = tmp_path_factory.mktemp("images") / "images.zip"
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for at in range(COUNT):
            buffer = io.BytesIO()
            pixels = rng.uniform(0, 255, (16, 16, 3))
            keras.utils.array_to_img(pixels, scale=False).save(buffer, "JPEG")
            archive.writestr(f"{at % CLASSES}_{at}.jpg", buffer.getvalue())
    return path


@pytest.fixture(scope="module", autouse=True)
def short():
    """Puts a short training on few images in the place of the script's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "CALIBRATION", CALIBRATION)
        patch.setattr(study, "TRAINING", study.TRAINING | {"epochs": 2, "batch_size": 4})
        patch.setattr(study, "CHOICES", {"l1": study.CHOICES["l1"]})
        patch.setattr(study, "HINTS", (("inside", "inside"),))
        yield


def arguments(folder, images):
    places = {"out": "results.json", "checkpoints": "checkpoints", "weights": "small.npz"}
    return [f"--images={images}", *(f"--{k}={folder}/{v}" for k, v in places.items())]


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    assert study.main(arguments(folder, images), load=small_network) == 0
    return folder


def records(folder):
    return json.loads((folder / "results.json").read_text())["records"]


def test_jobs_are_the_original_and_for_each_choice_a_cut_and_two_recoveries():
    names = ["dense", "l1-cut", "l1-distilled", "l1-hinted"]
    jobs = study.plan([0, 2])
    assert [(job.method, job.seed) for job in jobs] == [(n, s) for s in (0, 2) for n in names]
    assert [("epochs" in job.options) for job in jobs[:4]] == [False, False, True, True]


def test_the_original_agrees_with_itself_and_the_cut_is_measured_twice(finished):
    dense, cut, *recovered = records(finished)
    assert dense["agreement"] == 1.0 and len(recovered) == 2
    assert {"agreement_before_refresh", "top1_before_refresh"} <= cut.keys()
    for record in (cut, *recovered):
        assert 0 <= record["agreement"] <= 1 and 0 <= record["top1"] <= 1


def test_no_label_is_read_but_to_measure(images, tmp_path):
    x, y = study.load_imagenet_sample(images)
    jobs = [job for job in study.plan([0]) if job.method == "l1-distilled"]
    runs = [
        study.Experiment(small_network(), x, labels, tmp_path / name).run(jobs[0])
        for name, labels in (("right", y), ("wrong", (y + 1) % CLASSES))
    ]
    assert runs[0]["agreement"] == runs[1]["agreement"]
    with np.load(tmp_path / "right" / "l1-distilled-0.25-0.npz") as mine:
        with np.load(tmp_path / "wrong" / "l1-distilled-0.25-0.npz") as own:
            for name in {*mine.files} - {"spent"}:
                np.testing.assert_array_equal(mine[name], own[name])


def test_a_finished_run_started_again_computes_nothing(finished, images, monkeypatch):
    before = (finished / "results.json").read_bytes()
    monkeypatch.setattr(study.Experiment, "run", None)
    assert study.main(arguments(finished, images), load=small_network) == 0
    assert (finished / "results.json").read_bytes() == before


def test_a_table_of_the_run_can_be_made(finished):
    run = json.loads((finished / "results.json").read_text())
    headings, rows, about = channels_tables.mobilenet(run)
    assert headings[0] == "channels chosen by" and [row[0] for row in rows] == ["L1 norm"] * 4
    assert f"`{run['command']}`" in about
