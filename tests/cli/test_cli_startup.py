"""The command line answers at once what needs no model: help, version and wrong arguments."""

import os
import re
import resource
import subprocess
import sys

import pytest

from tfprune import cli

COMMANDS = ("inspect", "prune", "shrink", "export", "lint", "bench", "report")
LIMIT = 0.5  # seconds of processor time
HELP = [[command, "--help"] for command in COMMANDS]
WRONG = [
    [],
    ["prun"],
    ["prune", "m.keras"],
    ["prune", "m.keras", "--sparsity", "0.5"],
    ["prune", "m.keras", "--sparsity", "0.5", "--scorer", "magic"],
    ["prune", "m.keras", "--sparsity", "0.5", "--structure", "nofm:4:2"],
    ["prune", "pipe.keras", "--sparsity", "0.5"],
    ["shrink", "m.keras", "--macs", "2"],
    ["export", "text.keras", "-o", "m.tflite"],
    ["export", "text.keras", "-o", "m.tflite", "--quantize", "int4"],
    ["lint", "pipe.tflite"],
    ["inspect", "pointer.keras"],
    ["bench", "no.tflite"],
    ["report", "m.onnx"],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with files that are not what they are taken for."""
    folder = tmp_path_factory.mktemp("wrong")
    for name in ("pipe.keras", "pipe.tflite"):
        os.mkfifo(folder / name)
    (folder / "text.keras").write_text("hello")
    (folder / "m.onnx").write_text("hello")
    (folder / "pointer.keras").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    return folder


def processor_time(arguments, folder):
    """Seconds that a process of its own takes, its status and what it prints."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "tfprune", *arguments]
    root = os.path.dirname(os.path.dirname(os.path.dirname(cli.__file__)))
    environment = {**os.environ, "PYTHONPATH": root}
    run = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, run.returncode, run.stdout, run.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *HELP], ids=" ".join)
def test_help_and_version_take_less_than_half_a_second(arguments, folder):
    seconds, status, out, _ = processor_time(arguments, folder)
    assert status == 0
    assert out.startswith("tfprune 0." if arguments == ["--version"] else "usage: tfprune")
    assert seconds < LIMIT


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_arguments_and_files_are_told_in_one_line_in_less_than_half_a_second(
    arguments, folder
):
    seconds, status, out, err = processor_time(arguments, folder)
    assert (status, out) == (2, "")
    assert re.fullmatch(r"tfprune( \w+)?: error: .+\n", err)
    assert seconds < LIMIT


def test_parsers_import_nothing_heavy(folder):
    code = "import sys; import tfprune.cli; print(*{'keras', 'numpy', 'rich'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout == "\n", run.stderr
