"""scripts/studies/deep_compression, run on a small network and images made here."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from models import Dataset
from scripts.studies.deep_compression import __main__ as command
from scripts.studies.deep_compression import presets, stages_table
from tfprune.export.run import micro


def _images(*arguments):
    random = np.random.default_rng(0)
    x, y = random.random((160, 8, 8, 1)).astype("float32"), np.arange(160) % 4
    x[np.arange(160), y, y] += 2.0
    return Dataset("fashion_mnist", 4, x[:128], y[:128], x[128:], y[128:])


def _network():
    layers = keras.layers
    parts = [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(24, "relu"), layers.Dense(4)]
    return keras.Sequential(parts)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deep")
    small = dataclasses.replace(
        presets.PRESETS["lenet_300_100"],
        build=_network,
        sparsity=0.75,
        levels=4,
        dense_epochs=1,
        pruned_epochs=1,
        clustered_epochs=1,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command.arrays, "load", _images)
        patch.setattr(command, "FOLDER", folder / "models")
        patch.setattr(command, "BATCH", 32)
        patch.setattr(command, "PRESETS", {"tiny": small})
        files = tuple(f for f in command.FILES if f != "microcontroller" or micro.is_installed())
        patch.setattr(command, "FILES", files)
        patch.setattr("sys.argv", ["deep_compression"])
        for _ in range(2):  # the second time nothing is left to do
            command._run(_arguments(folder))
    return json.loads((folder / "deep_compression_tiny_fashion_mnist.json").read_text())


def _arguments(folder):
    from types import SimpleNamespace

    return SimpleNamespace(
        data="fashion_mnist", data_dir=None, networks=["tiny"], seeds=[0], out=folder
    )


def test_every_stage_keeps_what_the_one_before_it_made(run):
    records = {record["method"]: record for record in run["records"]}
    assert records["dense"]["zeros"] == 0 and records["dense"]["levels"] > 4
    assert records["pruned"]["zeros"] == pytest.approx(0.75, abs=0.01)
    assert records["clustered"]["nonzeros"] == records["pruned"]["nonzeros"]
    assert records["clustered"]["levels"] == 4


def test_files_get_smaller_stage_by_stage_and_predict_what_their_models_do(run):
    records = {record["method"]: record for record in run["records"]}
    assert records["dense file"]["times_smaller"] == 1.0
    sizes = [records[f"{stage} file"]["gzip_bytes"] for stage in ("dense", "pruned", "clustered")]
    assert sizes[0] > sizes[1] > sizes[2]
    for stage in ("dense", "clustered"):
        accuracy = records[f"{stage} file"]["accuracy"]
        assert accuracy == pytest.approx(records[stage]["accuracy"], abs=0.07)


def test_the_table_has_a_row_a_stage_and_the_published_figures(run):
    headings, rows, about = stages_table.stages({"tiny": run})
    assert [row[1] for row in rows][:3] == ["dense", "pruned", "clustered"]
    assert all(len(row) == len(headings) for row in rows)
    assert rows[2][6] == "32" and "arXiv 1510.00149" in about
