"""scripts/comparison/exported.py, on two small models."""

import dataclasses
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

OLD = {"method": "old", "sparsity": 0.0, "seed": 0, "options": {}}
SETTINGS = {"family": "cnn", "preset": "tiny", "runs": 2, "inference": "one row"}
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
        jobs=lambda preset, seed: [dataclasses.replace(job, seed=seed) for job in JOBS],
        PROTOCOL=types.SimpleNamespace(exported=trained, inference="one row"),
    )
    monkeypatch.setitem(exported.MODULES, "cnn", module)
    monkeypatch.setattr(exported, "RESULTS", tmp_path)
    monkeypatch.setattr(exported, "RUNS", 2)
    monkeypatch.setattr(wasm, "is_installed", lambda: False)


def results(folder, **options):
    sizes = {"dense-8": 4, "dense-16": 8, "pruned-16": 8}
    records = [{**job.key, "options": options, "dense_bytes": sizes[job.method]} for job in JOBS]
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


def test_some_runs_get_a_file_of_their_own(family, tmp_path):
    results(tmp_path)
    out = tmp_path / "some.json"
    asked = ["cnn", "--preset", "tiny", "--only", "pruned-16:0.9", "dense-8", "--out", str(out)]
    assert exported.main(asked) == 0
    content = json.loads(out.read_text())
    assert [row["method"] for row in content["rows"]] == ["dense-8", "pruned-16"]
    assert content["command"].endswith("--preset tiny --only pruned-16:0.9 dense-8 --out FILE")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "dense-8"], "`--only` needs `--out`"),
        (["--only", "dense-9", "--out", "x.json"], "`--only` must be among dense-8, dense-16, "),
        (["--seed", "3"], "has none of the runs asked for, with seed 3"),
    ],
)
def test_runs_that_there_are_not_are_one_line(family, tmp_path, options, message, capsys):
    results(tmp_path)
    assert exported.main(["cnn", "--preset", "tiny", *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "exported_cnn_tiny.json").exists()


@pytest.mark.parametrize(
    ("preset", "message"),
    [("none", "`--preset` must be one of tiny. Received: none"), ("tiny", "must have results")],
)
def test_a_preset_without_results_is_one_line(family, preset, message, capsys):
    assert exported.main(["cnn", "--preset", preset]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_record_of_other_options_is_one_line(family, tmp_path, capsys):
    results(tmp_path, epochs=3)
    assert exported.main(["cnn", "--preset", "tiny"]) == 2
    error = capsys.readouterr().err
    assert "dense-8 at 0, seed 0 with other options than the preset ({'epochs': 3} th" in error
    assert error.count("\n") == 1


@pytest.fixture
def unmeasured(family, monkeypatch):
    """Ctrl-C comes with the first file."""

    def stop(models):
        raise KeyboardInterrupt

    monkeypatch.setattr(exported, "measure", stop)


def test_a_stop_leaves_the_older_file_as_it_was_and_does_not_promise_to_go_on(
    unmeasured, tmp_path, capsys
):
    results(tmp_path)
    out = tmp_path / "exported_cnn_tiny.json"
    out.write_text(json.dumps({"settings": SETTINGS, "records": [OLD]}))
    before = out.read_bytes()
    assert exported.main(["cnn", "--preset", "tiny"]) == 130
    error = capsys.readouterr().err
    assert out.read_bytes() == before
    assert "goes on" not in error and "measures all files anew" in error


def test_records_take_the_place_of_older_ones_in_one_go(family, tmp_path):
    results(tmp_path)
    out = tmp_path / "exported_cnn_tiny.json"
    out.write_text(json.dumps({"settings": SETTINGS, "records": [OLD]}))
    assert exported.main(["cnn", "--preset", "tiny"]) == 0
    methods = [record["method"] for record in json.loads(out.read_text())["records"]]
    assert methods == ["dense-16", "dense-8", "pruned-16"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("thesis.json", '{"title": "Sparse"}', "is no results file of this experiment"),
        ("cnn_tiny.json", None, "was made with other settings"),
        ("other.json", json.dumps({"settings": {**SETTINGS, "preset": "b"}, "records": []}), "'b'"),
        ("plot.png", "picture", "must not end in .png"),
        ("read_only.json", "{}", "read-only"),
        (".", None, "`--out` must be writable"),
    ],
)
def test_an_out_that_is_no_file_of_this_program_is_refused_before_and_stays(
    unmeasured, tmp_path, name, content, message, capsys
):
    results(tmp_path)
    out = tmp_path / name
    if content:
        out.write_text(content)
    if name == "read_only.json":
        out.chmod(0o444)
    before = sorted(tmp_path.iterdir()), out.is_file() and out.read_bytes()
    assert exported.main(["cnn", "--preset", "tiny", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert (sorted(tmp_path.iterdir()), out.is_file() and out.read_bytes()) == before


def test_a_plot_that_cannot_be_written_is_found_before_the_timing(unmeasured, tmp_path, capsys):
    results(tmp_path)
    (tmp_path / "new.png").mkdir()
    assert exported.main(["cnn", "--preset", "tiny", "--out", str(tmp_path / "new.json")]) == 2
    assert "new.png" in capsys.readouterr().err
