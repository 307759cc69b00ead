"""scripts/studies/clustering, run on a small network and images made here."""

import json

import keras
import numpy as np
import pytest

from models import Dataset
from scripts.studies.clustering import __main__ as command
from scripts.studies.clustering import values_table

STARTS = {start: command.STARTS[start] for start in ("exact", "fisher")}


def _images(*arguments):
    random = np.random.default_rng(0)
    x, y = random.random((48, 8, 8, 3)).astype("float32"), np.arange(48) % 3
    return Dataset("cifar10", 3, x[:32], y[:32], x[32:], y[32:])


def _network(path):
    layers = keras.layers
    parts = [
        keras.Input((8, 8, 3)),
        layers.Conv2D(4, 3, use_bias=False),
        layers.BatchNormalization(),
        layers.Flatten(),
        layers.Dense(3),
    ]
    return keras.Sequential(parts)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("clustering") / "clustering.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command.arrays, "load", _images)
        patch.setattr(command, "load_resnet20", _network)
        patch.setattr(command, "EXAMPLES", 8)
        patch.setattr(command, "LEVELS", (64,))
        patch.setattr(command, "STARTS", STARTS)
        assert command.main(["--seeds", "0", "1", "--out", str(out)]) == 0
    return json.loads(out.read_text())


def test_starts_that_chance_has_no_part_in_are_run_once(run):
    seeds = {row["method"]: row["seeds"] for row in run["rows"]}
    assert seeds["exact, 64 a weight"] == [0] and seeds["fisher, 64 a weight"] == [0, 1]
    assert len(seeds) == 1 + 2 * 2


def test_many_values_cost_no_accuracy_and_the_table_has_a_row_a_way(run):
    found = {row["method"]: row["accuracy"]["mean"] for row in run["rows"]}
    assert found["exact, 64 a channel"] == pytest.approx(found["dense"], abs=0.07)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values_table, "LEVELS", (64,))
        headings, rows, about = values_table.values(run)
    assert len(rows) == 2 * len(values_table.STARTS) and all(len(r) == len(headings) for r in rows)
    assert "python -m scripts.studies.clustering" in about
