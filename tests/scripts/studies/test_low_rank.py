"""scripts/studies/low_rank, run on small networks and data made here."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from models import Dataset
from models.data.text import Text
from scripts.comparison.language import language_models
from scripts.studies.low_rank import alexnet, command, factor_tables, ptb, resnet20


def _images():
    random = np.random.default_rng(0)
    x, y = random.random((40, 16, 16, 3)).astype("float32"), np.arange(40) % 4
    return Dataset("cifar10", 4, x[:24], y[:24], x[24:], y[24:])


def _network(path=None):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(12, 3, use_bias=False, name="first"),
            layers.BatchNormalization(),
            layers.Conv2D(16, 3, activation="relu", name="second"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, name="logits"),
        ]
    )


def _words(name, split, folder):
    tokens = np.random.default_rng(0).integers(0, 30, 12 * 3 * 4 + 12)
    return Text(name, split, tokens, tuple(map(str, range(30))))


@pytest.fixture(scope="module", autouse=True)
def small():
    """Puts small networks, short trainings and few examples in the place of the script's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command.arrays, "load", lambda *args: _images())
        patch.setattr(command, "load_resnet20", _network)
        patch.setattr(command.text, "load", _words)
        patch.setattr(resnet20, "CALIBRATION", 8)
        patch.setattr(alexnet, "alexnet", lambda *args, **options: _network())
        patch.setattr(alexnet, "BATCH", 8)
        patch.setattr(alexnet, "TRAINING", alexnet.TRAINING | {"epochs": 1})
        patch.setattr(alexnet, "MORE", alexnet.MORE | {"epochs": 1})
        patch.setattr(alexnet, "CALIBRATION", 8)
        patch.setattr(alexnet, "MACS", 0.7)
        patch.setattr(alexnet, "ROUND_TO", 1)
        patch.setattr(alexnet, "KINDS", ())
        timed = {"ms_dense": 2.0, "ms": 1.0, "speed_up": 2.0, "bytes": 9}
        patch.setattr(alexnet, "_latency", lambda dense, small: timed)
        patch.setattr(resnet20, "KINDS", ("tucker",))
        preset = dataclasses.replace(ptb.SMALL, units=8, batch_size=12, steps=4)
        patch.setattr(ptb, "SMALL", preset)
        patch.setattr(ptb, "RANK", 3)
        patch.setattr(ptb, "CALIBRATION", 24)
        patch.setattr(ptb, "JIT", False)
        patch.setattr(language_models, "_jit", lambda: False)
        patch.setattr(ptb, "TRAINING", ptb.TRAINING | {"passes": 1})
        dense, *_, trained, taught, _ = ptb.plan()
        patch.setattr(ptb, "plan", lambda: [dense, trained, taught])
        yield


def _run(network, folder):
    status = command.main([network, f"--out={folder}/r.json", f"--checkpoints={folder}/c"])
    assert status == 0
    return json.loads((folder / "r.json").read_text())


def test_the_residual_network_is_measured_at_once_by_every_method(tmp_path):
    run = _run("resnet20", tmp_path)
    methods = [record["method"] for record in run["records"]]
    assert methods == ["dense", "tucker-weights", "tucker-data"]
    headings, rows, about = factor_tables.residual(run)
    assert len(rows) == 2 and len(rows[1]) == len(headings) and "ResNet-20" in about


def test_the_image_network_is_trained_factorized_trained_on_and_timed(tmp_path):
    run = _run("alexnet", tmp_path)
    found = {record["method"]: record for record in run["records"]}
    assert list(found) == ["dense", "spatial-trained", "dense-longer"]
    trained = found["spatial-trained"]
    assert trained["macs"] <= 0.7 * trained["macs_before"]
    headings, rows, _ = factor_tables.images(run)
    assert [len(row) for row in rows] == [len(headings)] * 3


def test_the_language_model_loses_a_third_of_its_tables(tmp_path):
    run = _run("ptb", tmp_path)
    found = {record["method"]: record for record in run["records"]}
    assert found["svd-trained"]["parameters"] < found["dense"]["parameters"]
    assert found["svd-taught"]["perplexity"] != found["svd-trained"]["perplexity"]
    assert (tmp_path / "c" / "ptb-svd-trained-0-0.npz").exists()
    headings, rows, _ = factor_tables.words(run)
    assert [len(row) for row in rows] == [len(headings)] * 3
