"""scripts/comparison/exported.py, on two small models."""

import json
import types

import keras
import numpy as np
import pytest
from keras import layers

from scripts.comparison import comparison_table, exported
from scripts.comparison.families import FAMILIES
from scripts.lab.results_file import Job
from tfprune.export.run import wasm

JOBS = [Job("dense-8", 0.0, 0), Job("dense-16", 0.0, 0), Job("pruned-16", 0.9, 0)]


def trained(job, *args, **options):
    units = int(job.method.split("-")[1])
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((32,)), layers.Dense(8 * units), layers.Dense(2)])
    for layer in model.layers:
        kernel = layer.kernel.numpy()
        layer.kernel.assign(kernel * (np.random.default_rng(0).random(kernel.shape) > job.sparsity))
    return model


@pytest.fixture
def family(monkeypatch, tmp_path):
    module = types.SimpleNamespace(
        PRESETS={"tiny": None},
        jobs=lambda preset, seed: JOBS,
        PROTOCOL=types.SimpleNamespace(exported=trained, inference="one row"),
    )
    monkeypatch.setitem(exported.MODULES, "cnn", module)
    monkeypatch.setattr(exported, "RESULTS", tmp_path)
    monkeypatch.setattr(exported, "RUNS", 2)
    monkeypatch.setattr(wasm, "is_installed", lambda: False)


def results(folder):
    sizes = {"dense-8": 4, "dense-16": 8, "pruned-16": 8}
    records = [{**job.key, "options": {}, "dense_bytes": sizes[job.method]} for job in JOBS]
    quality = {"mean": 0.9, "sd": 0.01}
    rows = [{"method": j.method, "sparsity": j.sparsity, "accuracy": quality} for j in JOBS]
    content = {"settings": {}, "records": records, "rows": rows}
    (folder / "cnn_tiny.json").write_text(json.dumps(content))


def test_every_finished_run_becomes_files_whose_bytes_and_latencies_are_written(family, tmp_path):
    results(tmp_path)
    assert exported.main(["cnn", "--preset", "tiny"]) == 0
    content = json.loads((tmp_path / "exported_cnn_tiny.json").read_text())
    assert [row["method"] for row in content["rows"]] == ["dense-16", "dense-8", "pruned-16"]
    dense, small, pruned = content["rows"]
    assert pruned["bytes"] < small["bytes"] < dense["bytes"] and dense["native_speed_up"] == 1.0
    assert all(row["native_ms"] > 0 and "wasm_ms" not in row for row in content["rows"])
    assert (tmp_path / "exported_cnn_tiny.png").stat().st_size > 5000
    headings, rows, about = comparison_table.files(FAMILIES["cnn"], content)
    assert len(headings) == len(rows[0]) and rows[0][0] == "dense-16"
    assert rows[2][2] == "90.00 ± 1.00" and f"`{content['command']}`" in about
    assert "float32, batch 1, one row, one thread" in about
    del content["settings"]["inference"]
    assert "float32, batch 1, one thread" in comparison_table.files(FAMILIES["cnn"], content)[2]


@pytest.mark.parametrize(
    ("preset", "message"),
    [("none", "`--preset` must be one of tiny. Received: none"), ("tiny", "must have results")],
)
def test_a_preset_without_results_is_one_line(family, preset, message, capsys):
    assert exported.main(["cnn", "--preset", preset]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
