"""scripts/bench/export.py, run on small networks."""

import json
import shlex

import numpy as np
import pytest

from scripts.bench import export, export_cases
from scripts.bench.export_cases import Case, inputs_of, mlp, pruned
from scripts.readme import export_tables
from tfprune.export.run import wasm

SMALL = {
    "small": Case("MLP, small", mlp(64, 1, 8), "native", 0.9, {None: 3.0, "float16": None}),
    "small_int8": Case("MLP, small", mlp(64, 1, 8), "native", 0.9, {"int8": 10.0}),
    "in_wasm": Case("MLP, small", mlp(64, 1, 8), "wasm", 0.9, {None: None}),
}


def content(file):
    return json.loads(file.read_text())


def arguments(file, *cases, runs=3):
    return ["--out", f"{file}", "--runs", f"{runs}", "--cases", *cases]


@pytest.fixture
def cases(monkeypatch):
    monkeypatch.setattr(export, "CASES", SMALL)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The results file of a run of two cases, one started after the other was done."""
    file = tmp_path_factory.mktemp("bench") / "results.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "CASES", SMALL)
        assert export.main(arguments(file, "small")) == 0
        first = content(file)["records"]
        assert export.main(arguments(file, "small", "small_int8")) == 0
        assert content(file)["records"][:1] == first
    return file


def test_every_file_of_a_case_is_measured_beside_the_dense_one(finished):
    small, integers = content(finished)["records"]
    assert [file["name"] for file in small["files"]] == ["dense", "float32", "float16"]
    assert [file["name"] for file in integers["files"]] == ["dense", "int8"]
    assert [file["goal"] for file in small["files"]] == [None, 3.0, None]
    for file in (*small["files"], *integers["files"]):
        assert file["runtime"] == "native" and file["runs"] == 3 and file["median_ms"] > 0
        assert file["layers"] == 2 and "path" not in file
    dense, floats, halves = small["files"]
    assert dense["ratio"] == 1.0 and dense["encoded_bytes"] == 0
    assert floats["bytes"] < dense["bytes"] and halves["bytes"] < dense["bytes"]
    assert 0 < floats["theory_bytes"] and floats["difference"] < 1e-5


def test_a_finished_run_started_again_computes_nothing(finished, cases, monkeypatch):
    before = finished.read_bytes()
    monkeypatch.setattr(export, "measure", None)
    assert export.main(arguments(finished, "small", "small_int8")) == 0
    assert finished.read_bytes() == before


def test_the_command_in_the_file_names_the_same_cases(finished, cases):
    program, flag, script, *rest = shlex.split(content(finished)["command"])
    assert (program, flag, script) == ("python", "-m", "scripts.bench.export")
    args = export.parse(rest)
    assert (args.cases, args.runs) == (["small", "small_int8"], 3)


def test_tables_of_the_run_can_be_made(finished):
    run = content(finished)
    headings, rows, about = export_tables.speed(run)
    assert [row[headings.index("file")] for row in rows] == ["float32", "float16", "int8"]
    assert "Not measured: `in_wasm`" in about
    assert len(export_tables.sizes(run)[1]) == 2


def test_other_settings_than_in_the_file_are_refused_in_one_line(finished, cases, capsys):
    before = finished.read_bytes()
    assert export.main(arguments(finished, "small", runs=4)) == 2
    error = capsys.readouterr().err
    assert "runs 3 there, 4 here" in error and error.count("\n") == 1
    assert finished.read_bytes() == before


def test_a_case_that_changed_is_not_taken_for_the_one_in_the_file(
    finished, cases, monkeypatch, capsys
):
    changed = Case("MLP, small", mlp(64, 1, 8), "native", 0.9, {None: 3.0})
    monkeypatch.setattr(export, "CASES", {"small": changed})
    assert export.main(arguments(finished, "small")) == 2
    error = capsys.readouterr().err
    assert "with other options" in error and error.count("\n") == 1


def test_a_case_for_webassembly_is_measured_there(cases, tmp_path):
    if not wasm.is_installed():
        pytest.skip("Node or LiteRT.js is missing")
    file = tmp_path / "results.json"
    assert export.main(arguments(file, "in_wasm")) == 0
    (record,) = content(file)["records"]
    assert [measured["runtime"] for measured in record["files"]] == ["wasm", "wasm"]


def test_a_case_for_webassembly_without_node_ends_in_one_line(cases, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFPRUNE_NODE_MODULES", str(tmp_path / "none"))
    file = tmp_path / "results.json"
    assert export.main(arguments(file, "in_wasm")) == 2
    error = capsys.readouterr().err
    assert "setup_wasm.sh" in error and error.count("\n") == 1 and not file.exists()


@pytest.mark.parametrize(
    "wrong, words",
    [
        (["--cases", "vgg"], "invalid choice: 'vgg'"),
        (["--cases"], "expected at least one argument"),
        (["--runs", "0"], "must be an integer in [1, 10^6]. Received: 0"),
        (["--runs", "many"], "Received: many"),
        (["--threads", "2"], "unrecognized arguments: --threads"),
    ],
)
def test_a_wrong_argument_is_one_line(wrong, words, capsys):
    with pytest.raises(SystemExit) as stop:
        export.main(wrong)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and words in error and error.count("\n") == 1


def test_results_that_cannot_be_written_are_one_line(cases, tmp_path, capsys):
    (tmp_path / "file").touch()
    taken = tmp_path / "taken"
    taken.mkdir()
    assert export.main(arguments(taken, "small")) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_pruned_case_has_the_zeros_and_the_scale_that_it_is_said_to_have():
    model = pruned(SMALL["small"], None)
    for layer in model.layers:
        kernel = layer.kernel.numpy()
        assert np.mean(kernel == 0) == pytest.approx(0.9, abs=0.01)
        blocks = kernel.reshape(-1, 4, kernel.shape[1])
        assert np.all((blocks == 0).all(1) == (blocks == 0).any(1))  # 4 along the input
    first = model.layers[0].kernel.numpy()
    assert np.mean(first**2) == pytest.approx(2 / len(first), rel=1e-5)
    assert np.std(model(inputs_of(model, 1))) == pytest.approx(1, rel=1e-5)
    assert inputs_of(model, 5).shape == (5, 64)


def test_tokens_are_words_of_the_vocabulary_and_the_same_for_a_seed():
    model = export_cases.lstm_language_model(4, 1)
    first, again, other = (inputs_of(model, 3, seed) for seed in (1, 1, 2))
    assert first.shape == (3, export_cases.STEPS) and first.dtype == np.int32
    assert 0 <= first.min() and first.max() < export_cases.VOCABULARY
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_case_has_a_goal_or_a_file_beside_one_and_a_known_runtime():
    goals = [goal for case in export_cases.CASES.values() for goal in case.goals.values()]
    assert len([goal for goal in goals if goal]) >= len(export_cases.CASES)
    for case in export_cases.CASES.values():
        assert case.runtime in ("native", "wasm") and any(case.goals.values())
        json.dumps(case.describe())
