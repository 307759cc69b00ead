"""The command line: what its commands do, for a reader and as JSON."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import tfprune
from tests.support import cli_runner
from tests.support.cli_runner import json_of
from tfprune import cli
from tfprune.support.long_work import progress

COMMANDS = ("inspect", "prune", "export", "bench", "report")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files that all tests only read."""
    folder = tmp_path_factory.mktemp("files")
    cli_runner.make_files(folder)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"example:\n  tfprune {command} " in text and "--json" in text
    assert max(map(len, text.splitlines())) <= 100


def test_help_of_prune_names_every_scorer_and_distribution(capsys):
    with pytest.raises(SystemExit):
        cli.main(["prune", "--help"])
    text = capsys.readouterr().out
    for name in (*tfprune.scorers.names(), *tfprune.distributions.names()):
        assert name in text


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert all(f"\n    {command} " in text for command in COMMANDS)


def test_inspect_tells_plain_from_pruned(files, capsys):
    plain = json_of(capsys, "inspect", files / "plain.keras")
    assert (plain["pruned"], plain["step"], plain["pruning"]) == (False, None, [])
    pruned = json_of(capsys, "inspect", files / "pruned.keras")
    assert (pruned["pruned"], pruned["step"]) == (True, 0)
    assert pruned["pruning"][0]["schedule"] == "OneShot(sparsity=0.75, step=0)"
    assert pruned["pruning"][0]["weights"] == ["hidden/kernel", "out/kernel"]
    assert pruned["prunable"]["nonzeros"] == (6 * 8 + 8 * 4) // 4
    assert [skip["layer"] for skip in pruned["skipped"]] == ["norm"]


def test_inspect_shows_a_table(files, capsys):
    assert cli.main(["inspect", str(files / "pruned.keras")]) == 0
    text = capsys.readouterr().out
    assert "pruned, at step 0" in text and "hidden/kernel" in text and "75.00%" in text


def test_inspect_lists_the_operators_of_a_tflite_file(files, capsys):
    found = json_of(capsys, "inspect", files / "a.tflite")
    assert found["format"] == "tflite"
    assert any(name.startswith("FULLY_CONNECTED") for name in found["operators"])
    assert found["gzip_bytes"] > 0


def test_report_agrees_with_the_function(files, capsys, tmp_path):
    found = json_of(capsys, "report", files / "plain.keras", "--html", tmp_path / "r.html")
    model = keras.saving.load_model(files / "plain.keras")
    expected = json.loads(json.dumps(tfprune.report(model, verbose=False).to_dict()))
    assert {key: found[key] for key in expected} == expected
    assert "Pruning report of small" in (tmp_path / "r.html").read_text()


def test_prune_writes_a_plain_model_at_the_asked_sparsity(files, capsys, tmp_path):
    out = tmp_path / "out.keras"
    found = json_of(capsys, "prune", files / "plain.keras", "--sparsity", "0.5", "-o", out)
    model = keras.saving.load_model(out)
    assert [type(layer).__name__ for layer in model.layers][0] == "Dense"
    kernels = [layer.get_weights()[0] for layer in model.layers if layer.name != "norm"]
    assert [np.count_nonzero(kernel) / kernel.size for kernel in kernels] == [0.5, 0.5]
    assert found["report"]["prunable"]["sparsity"] == 0.5
    assert os.listdir(tmp_path) == ["out.keras"]


@pytest.mark.filterwarnings("ignore:The last groups of a pattern:UserWarning")
def test_prune_follows_rules_structure_scorer_and_distribution(files, tmp_path):
    def zeros(*options):
        out = tmp_path / "out.keras"
        base = ["prune", str(files / "plain.keras"), "-o", str(out), "--sparsity", "0.5"]
        assert cli.main([*base, *options]) == 0
        model = keras.saving.load_model(out)
        return {name: model.get_layer(name).get_weights()[0] == 0 for name in ("hidden", "out")}

    ruled = zeros("--rule", "out/.*=dense", "--rule", "hidden/.*=0.75")
    assert (ruled["out"].sum(), ruled["hidden"].mean()) == (0, 0.75)
    blocks = zeros("--structure", "block:2x1")["hidden"]
    assert (blocks[0::2] == blocks[1::2]).all()
    pattern = zeros("--structure", "nofm:2:4")["out"]
    assert (pattern.reshape(2, 4, 4).sum(axis=1) == 2).all()
    channels = zeros("--structure", "channel", "--rule", "out/.*=dense")["hidden"]
    assert (channels.all(axis=0) | ~channels.any(axis=0)).all()
    assert (zeros("--scorer", "random")["hidden"] != zeros()["hidden"]).any()
    assert sum(part.sum() for part in zeros("--distribution", "global").values()) == 40


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_prune_with_data_trains_and_reports_accuracy(tmp_path, capsys, activation):
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(10, activation=activation),
    ]
    keras.Sequential(layers).save(tmp_path / "m.keras")
    found = json_of(
        capsys,
        *("prune", tmp_path / "m.keras", "--sparsity", "0.8", "-o", tmp_path / "out.keras"),
        *("--data", "digits", "--epochs", "4", "--learning-rate", "0.01"),
    )
    training = found["training"]
    assert training["loss"].endswith("probabilities" if activation else "logits")
    assert training["accuracy_before"] < 0.4 < 0.8 < training["accuracy_after"]
    assert found["report"]["prunable"]["sparsity"] == pytest.approx(0.8, abs=1e-3)


def test_export_strips_a_pruned_model_and_says_so(files, capsys, tmp_path):
    arguments = ["export", str(files / "pruned.keras"), "-o", str(tmp_path / "m.tflite")]
    assert cli.main(arguments) == 0
    assert "stripped" in capsys.readouterr().out
    assert json_of(capsys, *arguments)["stripped"] is True
    assert os.listdir(tmp_path) == ["m.tflite"]


def test_all_shows_what_is_left_out_otherwise(files, capsys, tmp_path):
    export = ["export", str(files / "plain.keras"), "-o", str(tmp_path / "m.tflite")]
    report = ["report", str(files / "plain.keras")]
    for command, everything in ((export, "compression rate"), (report, "bytes, CSR")):
        assert cli.main(command) == 0
        short = capsys.readouterr().out
        assert "\n  next " in short and "--all" in short and everything not in short
        assert cli.main([*command, "--all"]) == 0
        assert everything in capsys.readouterr().out


def test_a_model_that_has_learned_its_ranges_needs_no_examples(capsys, tmp_path):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    aware = tfprune.quantize_aware(model, activations=True)
    aware.compile("sgd", "mse")
    aware.fit(np.random.normal(size=(32, 8)), np.zeros((32, 4)), verbose=0)
    aware.save(tmp_path / "aware.keras")
    found = json_of(capsys, "export", tmp_path / "aware.keras", "--quantize", "int8")
    assert found["quantize"] == "int8" and not found["stripped"]


def test_export_quantizes_and_says_where_that_would_cost_bytes(files, capsys, tmp_path):
    wide, out = tmp_path / "wide.keras", tmp_path / "m.tflite"
    keras.Sequential([keras.Input((32,)), keras.layers.Dense(32)]).save(wide)
    said = "No weight is stored as float16"
    for model, dtype in ((wide, "float16"), (files / "plain.keras", "float32")):
        found = json_of(capsys, "export", model, "-o", out, "--quantize", "float16")
        types = {entry["dtype"] for entry in json_of(capsys, "inspect", out)["constants"]}
        assert dtype in types and ("float16" in types) == (dtype == "float16")
        assert any(said in note for note in found["notes"]) == (dtype == "float32")


def test_bench_compares_every_file_with_the_first(files, capsys, tmp_path):
    copy = tmp_path / "a.tflite"
    copy.write_bytes((files / "a.tflite").read_bytes())
    found = json_of(capsys, "bench", files / "a.tflite", copy, "--runs", "3", "--threads", "2")
    first, second = found["files"]
    assert first["name"] != second["name"]
    assert (first["ratio"], second["bytes_ratio"], found["threads"]) == (1.0, 1.0, 2)
    assert cli.main(["bench", str(copy), "--runs", "2"]) == 0
    assert "Latency of one inference in LiteRT, 1 thread, 2 runs" in capsys.readouterr().out


def test_progress_is_off_without_a_terminal(capfd):
    with progress("Working", total=2, quiet=False) as advance:
        advance("Working on")
        advance()
    assert capfd.readouterr() == ("", "")


def test_module_runs_as_a_process_with_json_alone_on_stdout(files):
    command = [sys.executable, "-m", "tfprune", "inspect", str(files / "pruned.keras"), "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["step"] == 0
    assert "Traceback" not in run.stderr
