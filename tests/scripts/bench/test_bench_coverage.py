"""scripts/bench/coverage, run on one small network."""

import json

import keras
import pytest

from scripts.bench.coverage import __main__ as program
from scripts.bench.coverage import files as coverage_files
from scripts.bench.coverage import images, others, tables
from tfprune.export.run import wasm


def test_there_are_at_least_42_networks_with_names_of_their_own():
    assert len(program.NETWORKS) == len(images.IMAGES) + len(others.OTHERS) >= 42
    assert len({label for label, _ in program.NETWORKS.values()}) == len(program.NETWORKS)


@pytest.mark.skipif(not wasm.is_installed(), reason="Node or LiteRT.js is not installed")
def test_every_target_is_measured_and_the_table_shows_both_stages(tmp_path, monkeypatch):
    small = {"small": ("MLP, small", lambda: others.mlp((256, 256, 4)))}
    monkeypatch.setattr(program, "NETWORKS", small)
    file = tmp_path / "results.json"
    for stage in program.STAGES:
        arguments = ["--stage", stage, "--networks", "small", "--out", f"{file}"]
        assert program.main(arguments) == 0
        keras.backend.clear_session()
    run = json.loads(file.read_text())
    files = run["records"][0]["files"]
    assert list(files) == [column.name for column in coverage_files.COLUMNS]
    assert all(found["layers"] == 2 for found in files.values())
    assert files["x86"]["difference"] < 1e-5 and files["x86"]["sparse_layers"] == 1
    headings, rows, about = tables.coverage(run)
    assert len(rows) == 1 and len(headings) == len(rows[0])
    assert rows[0][:2] == ["MLP, small", "1 of 2, 98%"] and "all files give" in about
    headings, rows, _ = tables.reasons(run)
    assert ["x86", "1", "1"] in [row[:3] for row in rows]
