"""The command line answers what needs no model without Keras: help, version, errors, .tflite files.

What is imported is compared, since that takes the time: Keras and TensorFlow four seconds, all that
stands in LIGHT a fifth of one.
"""

import os
import re
import subprocess
import sys

import keras
import pytest

from tfprune import cli
from tfprune.export import to_tflite

COMMANDS = ("inspect", "prune", "shrink", "export", "lint", "bench", "report")
LIGHT = {"numpy", "rich", "flatbuffers", "ai_edge_litert"}  # to read, run and show a .tflite file
HEAVY = {*LIGHT, "keras", "tensorflow", "scipy", "h5py", "matplotlib", "jax", "PIL"}
HELP = [[command, "--help"] for command in COMMANDS]
WRONG = [
    ["prun"],
    ["prune", "m.keras", "--sparsty", "0.5"],
    ["prune", "m.keras", "--sparsity", "90"],
    ["prune", "m.keras"],
    ["prune", "m.keras", "--sparsity", "0.5"],
    ["prune", "m.keras", "--sparsity", "0.5", "--scorer", "magic"],
    ["prune", "m.keras", "--sparsity", "0.5", "--structure", "nofm:4:2"],
    ["prune", "pipe.keras", "--sparsity", "0.5"],
    ["prune", "m.keras", "--sparsity", "0.5", "--data", "none.csv"],
    ["prune", "m.keras", "--sparsity", "0.5", "--data", "no/folder/"],
    ["prune", "m.keras", "--sparsity", "0.5", "--data", "no_module:load"],
    ["prune", "m.keras", "--sparsity", "0.5", "--import", "no_module"],
    ["shrink", "m.keras", "--macs", "2"],
    ["export", "text.keras", "-o", "m.tflite"],
    ["export", "text.keras", "-o", "m.tflite", "--quantize", "int3"],
    ["lint", "pipe.tflite"],
    ["inspect", "pointer.keras"],
    ["bench", "no.tflite"],
    ["report", "m.onnx"],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a .tflite file, and files that are not what they are taken for."""
    folder = tmp_path_factory.mktemp("wrong")
    for name in ("pipe.keras", "pipe.tflite"):
        os.mkfifo(folder / name)
    (folder / "text.keras").write_text("hello")
    (folder / "text.tflite").write_text("hello")
    (folder / "m.onnx").write_text("hello")
    (folder / "pointer.keras").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="out")])
    to_tflite(model, folder / "a.tflite")
    return folder


def run(arguments, folder):
    """Status of a process of its own, what it prints, and which of HEAVY it has imported."""
    code = (
        "import atexit, sys\n"
        "def show():\n"
        f"    print('imported', *sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)\n"
        "atexit.register(show)\n"
        "from tfprune.cli import main\n"
        "sys.exit(main())"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(cli.__file__)))
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    *errors, imported = done.stderr.splitlines()
    return done.returncode, done.stdout, errors, set(imported.split()[1:])


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--version"], *HELP], ids=" ".join)
def test_help_and_version_import_nothing_heavy(arguments, folder):
    status, out, errors, imported = run(arguments, folder)
    assert (status, errors, imported) == (0, [], set())
    assert out.startswith("tfprune 0." if arguments == ["--version"] else "usage: tfprune")


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_arguments_and_files_are_told_in_one_line_and_import_nothing_heavy(arguments, folder):
    status, out, errors, imported = run(arguments, folder)
    assert (status, out, imported) == (2, "", set())
    (line,) = errors
    assert re.fullmatch(r"tfprune( \w+)?: error: .+", line)


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "a.tflite"],
        ["inspect", "a.tflite", "--nofm", "2:4", "--json"],
        ["lint", "a.tflite"],
        ["bench", "a.tflite", "--runs", "1"],
    ],
    ids=" ".join,
)
def test_tflite_files_are_read_and_timed_without_keras(arguments, folder):
    status, out, errors, imported = run(arguments, folder)
    assert (status, errors) == (0, [])
    assert out and {"numpy", "flatbuffers"} <= imported <= LIGHT


@pytest.mark.parametrize("command", ["inspect", "lint", "bench"])
def test_damaged_tflite_files_are_told_without_keras(command, folder):
    status, out, errors, imported = run([command, "text.tflite"], folder)
    assert (status, out, len(errors)) == (2, "", 1)
    assert imported <= LIGHT
