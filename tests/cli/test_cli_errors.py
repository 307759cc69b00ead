"""The command line: every error is one line and exit status 2, and writes nothing."""

import configparser
import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import keras
import pytest

from tests.support import cli_runner
from tests.support.cli_runner import error_of
from tfprune import cli
from tfprune.cli.commands import models


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files that all tests only read."""
    folder = tmp_path_factory.mktemp("files")
    cli_runner.make_files(folder)
    return folder


@pytest.mark.parametrize("command", ["inspect", "prune", "export", "report"])
@pytest.mark.parametrize("name", ["no.keras", "truncated.keras", "text.keras", "zip.keras"])
def test_missing_truncated_and_foreign_models_are_one_line(files, capsys, tmp_path, command, name):
    out = {"prune": "o.keras", "export": "o.tflite"}.get(command)
    options = ["-o", tmp_path / out] if out else []
    options += ["--sparsity", "0.5"] if command == "prune" else []
    assert name in error_of(capsys, command, files / name, *options)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("command", ["inspect", "bench"])
@pytest.mark.parametrize("name", ["no.tflite", "truncated.tflite", "text.tflite"])
def test_missing_truncated_and_foreign_tflite_files_are_one_line(files, capsys, command, name):
    assert name in error_of(capsys, command, files / name)


def test_damaged_weights_inside_a_model_file_are_found(files, tmp_path, capsys):
    content = bytearray((files / "plain.keras").read_bytes())
    with zipfile.ZipFile(files / "plain.keras") as archive:
        offset = archive.getinfo("model.weights.h5").header_offset
    content[offset + 2000] ^= 0xFF
    (tmp_path / "damaged.keras").write_bytes(content)
    assert "model.weights.h5" in error_of(capsys, "inspect", tmp_path / "damaged.keras")


def test_class_that_is_not_known_is_named(tmp_path, capsys):
    class Odd(keras.layers.Dense):
        pass

    keras.Sequential([keras.Input((2,)), Odd(2)]).save(tmp_path / "odd.keras")
    line = error_of(capsys, "inspect", tmp_path / "odd.keras")
    assert "needs class 'Odd', not known here: add --import tests.cli." in line


def test_file_of_another_kind_is_one_line(files, capsys, tmp_path):
    assert ".keras" in error_of(capsys, "report", files / "a.tflite")
    assert ".tflite" in error_of(capsys, "bench", files / "plain.keras")
    (tmp_path / "model.onnx").write_text("")
    assert ".hdf5 or .tflite" in error_of(capsys, "inspect", tmp_path / "model.onnx")
    assert "directory" in error_of(capsys, "inspect", tmp_path)


@pytest.mark.parametrize(
    "command, option, name",
    [
        ("prune", "-o", "no/out.keras"),
        ("export", "-o", "no/out.tflite"),
        ("report", "--html", "no/out.html"),
    ],
)
def test_unwritable_output_is_found_before_the_model_is_loaded(
    files, capsys, tmp_path, monkeypatch, command, option, name
):
    def fail(*arguments):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(models, "load", fail)
    extra = ["--sparsity", "0.5"] if command == "prune" else []
    line = error_of(capsys, command, files / "plain.keras", option, tmp_path / name, *extra)
    assert "must be writable" in line and os.listdir(tmp_path) == []


def test_device_is_never_replaced_by_a_file(files, capsys):
    line = error_of(capsys, "report", files / "plain.keras", "--html", os.devnull)
    assert "not a regular file" in line
    assert not os.path.isfile(os.devnull)


def test_output_must_have_the_ending_of_its_kind(files, capsys, tmp_path):
    path = files / "plain.keras"
    base = ["prune", path, "--sparsity", "0.5", "-o", tmp_path / "out.h5"]
    assert "must end in .keras" in error_of(capsys, *base)
    assert "must end in .tflite" in error_of(capsys, "export", path, "-o", tmp_path / "out.keras")


def test_output_is_beside_the_model_or_in_a_folder_and_an_older_file_is_told(
    files, tmp_path, capsys, monkeypatch
):
    model, folder = tmp_path / "net.keras", tmp_path / "out"
    model.write_bytes((files / "plain.keras").read_bytes())
    folder.mkdir()
    for options, name in (([], "net.tflite"), (["-o", folder], "out/net.tflite")):
        assert cli.main(["export", str(model), *map(str, options)]) == 0
        assert capsys.readouterr().out.endswith(f"\nWritten: {tmp_path / name}\n")
        assert (tmp_path / name).exists()
    prune = ["prune", str(model), "--sparsity", "0.5", "-o", str(folder / "small")]
    assert cli.main(prune) == 0
    assert capsys.readouterr().out.endswith(f"\nWritten: {folder / 'small.keras'}\n")
    assert cli.main(prune) == 0
    assert "small.keras, in place of an older file\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options, message",
    [
        (["--sparsity", "90"], "a fraction in [0, 1), did you mean 0.9? Received: 90"),
        (["--sparsity", "90%"], "did you mean 0.9? Received: 90%"),
        (["--sparsity", "900"], "--sparsity: must be a fraction in [0, 1). Received: 900"),
        (["--sparsity", "nan"], "Received: nan"),
        (
            ["--scorer", "magic"],
            "--scorer: invalid choice: 'magic' (choose from 'magnitude', 'random'",
        ),
        (["--distribution", "even"], "--distribution: invalid choice: 'even'"),
        (["--structure", "block:4"], "--structure: must be unstructured, block:HxW"),
        (["--structure", "block:0x4"], "Received: block:0x4"),
        (["--structure", "nofm:4:2"], "nofm:N:M with N < M"),
        (["--structure", "nofm:1:4", "--sparsity", "0.9"], "--sparsity must be <= 0.75 with"),
        (["--scorer", "woodfischer"], "'woodfischer', did you mean 'woodfisher'? (choose from"),
        (["--rule", "conv"], "must be REGEX=VALUE"),
        (["--rule", "hidden/.*=90"], 'a sparsity in [0, 1) or "dense"'),
        (["--rule", "hiden/.*=0.5"], "did you mean 'hidden'? Received: hiden/.*=0.5; prunable"),
        (["--rule", "conv9/.*=dense"], "A rule must match at least one weight. Received: conv9/.*"),
        (["--epochs", "0"], "must be an integer >= 1"),
        (["--rule", "(=0.5"], "must begin with a regular expression"),
        (["--data", "digit"], "did you mean 'digits'?"),
        (["--data", "digits"], "must take the inputs of 'digits', of shape (8, 8, 1)"),
        (["--import", "layers.py"], "must be the name of a module, such as layers for layers.py"),
        (["--import", "no_such_module"], "module 'no_such_module' cannot be imported"),
        (["--sparsty", "0.5"], "there is no option --sparsty, did you mean '--sparsity'?"),
        (["--sparsty=0.5"], "there is no option --sparsty, did you mean '--sparsity'?"),
    ],
)
def test_wrong_options_of_prune_are_one_line_and_write_nothing(
    files, capsys, tmp_path, options, message
):
    base = ["prune", files / "plain.keras", "-o", tmp_path / "out.keras"]
    sparsity = [] if "--sparsity" in options else ["--sparsity", "0.5"]
    assert message in error_of(capsys, *base, *sparsity, *options)
    assert os.listdir(tmp_path) == []


def test_nothing_to_prune_is_one_line(files, capsys, tmp_path):
    options = ["--sparsity", "0.5", "-o", tmp_path / "out.keras"]
    assert "nothing to prune" in error_of(capsys, "prune", files / "bare.keras", *options)


@pytest.mark.filterwarnings("always")
def test_sparse_models_are_told_and_pruning_goes_on_from_their_zeros(files, capsys, tmp_path):
    def prune(model, sparsity, out):
        assert cli.main(["prune", str(model), "--sparsity", sparsity, "-o", str(out)]) == 0
        return [line for line in capsys.readouterr().err.splitlines() if "sparse already" in line]

    once, twice = tmp_path / "once.keras", tmp_path / "twice.keras"
    (line,) = prune(files / "pruned.keras", "0.9", once)
    assert "pruned.keras is sparse already, 75.00% of its prunable weights are zeros, and" in line
    assert "masks were made permanent. They count towards --sparsity 0.9" in line
    after = keras.saving.load_model(once).get_weights()[0] == 0
    (line,) = prune(once, "0.5", twice)
    assert "few weights are left to remove" in line
    again = keras.saving.load_model(twice).get_weights()[0] == 0
    assert after.mean() == pytest.approx(0.9, abs=0.02) and (after == again).all()
    assert prune(files / "plain.keras", "0.5", once) == []


def test_outputs_that_are_no_classes_of_the_data_are_one_line(capsys, tmp_path):
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    keras.Sequential(layers).save(tmp_path / "m.keras")
    options = ["--sparsity", "0.5", "-o", tmp_path / "out.keras", "--data", "digits"]
    line = error_of(capsys, "prune", tmp_path / "m.keras", *options)
    assert "one output for each of the 10 classes" in line


def test_wrong_options_of_export_are_one_line(files, capsys, tmp_path):
    base = ["export", files / "plain.keras", "-o", tmp_path / "m.tflite"]
    assert "--quantize" in error_of(capsys, *base, "--quantize", "int3")
    needed = "needs examples: --data DATA or --representative-data FILE.npy"
    assert needed in error_of(capsys, *base, "--quantize", "int8")
    assert "`--data` needs --quantize int8" in error_of(capsys, *base, "--data", "digits")
    assert "no such file" in error_of(capsys, *base, "--representative-data", tmp_path / "x.npy")
    (tmp_path / "x.npy").write_text("hello")
    assert "x.npy" in error_of(capsys, *base, "--representative-data", tmp_path / "x.npy")
    assert os.listdir(tmp_path) == ["x.npy"]


def test_unknown_commands_and_options_are_told_with_what_was_meant(capsys):
    assert "'prun', did you mean 'prune'? (choose from 'inspect'," in error_of(capsys, "prun")
    assert "no option --verison, did you mean '--version'?" in error_of(capsys, "--verison")


def test_without_arguments_the_help_is_shown(capsys):
    assert cli.main([]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: tfprune") and err == ""


def test_interrupt_is_one_line_and_status_130(files, capsys, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "load", interrupt)
    assert cli.main(["inspect", str(files / "plain.keras")]) == 130
    assert capsys.readouterr().err == "tfprune inspect: interrupted, nothing written\n"


def test_process_ends_with_status_2_and_no_traceback_on_jax_too(files):
    command = [sys.executable, "-m", "tfprune", "report", str(files / "truncated.keras")]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("tfprune report: error: ") and run.stderr.count("\n") == 1


def test_the_installed_command_prints_one_line_for_an_error_and_nothing_else(tmp_path):
    settings = configparser.ConfigParser()
    settings.read(Path(__file__).parents[2] / "setup.cfg")
    (text,) = settings["options.entry_points"]["console_scripts"].split("\n")[1:]
    command = metadata.EntryPoint(*text.split(" = "), group="console_scripts")
    assert (command.name, command.load()) == ("tfprune", cli.main)
    (tmp_path / "foreign.keras").write_text("hello")
    code = "import sys; from tfprune.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "inspect", tmp_path / "foreign.keras"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "foreign.keras" in done.stderr
