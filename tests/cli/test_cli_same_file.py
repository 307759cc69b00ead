"""The command line: a file to write is no other file that the command reads or writes."""

import os
import shutil

import numpy as np
import pytest

from tests.support.cli_runner import error_of, json_of, small_model

LINKS = {"m.keras": "link.keras", "x.npz": "x.keras", "x.npy": "x.tflite", "a.tflite": "a.cc"}


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model in a folder of its own, which is the current one."""
    monkeypatch.chdir(tmp_path)
    small_model().save("m.keras")
    return tmp_path / "m.keras"


@pytest.mark.parametrize(
    ("command", "options", "named"),
    [
        ("shrink", ["--macs", ".5", "-o", "out.keras", "--html", "out.keras"], "--html --output"),
        ("shrink", ["--macs", ".5", "--html", "m.keras"], "--html MODEL"),
        ("shrink", ["--macs", ".5", "--html", "./m-small.keras"], "--html --output"),
        ("shrink", ["--macs", ".5", "--html", "hard.keras"], "--html MODEL"),
        ("report", ["--html", "m.keras"], "--html MODEL"),
        ("report", ["--html", "link.keras"], "--html MODEL"),
        (
            "prune",
            ["--sparsity", ".5", "--data", "x.npz", "--teacher", "t.keras", "-o", "t.keras"],
            "--output --teacher",
        ),
        ("prune", ["--sparsity", ".5", "--data", "x.npz", "-o", "x.keras"], "--output --data"),
        (
            "export",
            ["--target", "microcontroller", "-o", "a.tflite", "--c-array", "a.cc"],
            "--c-array --output",
        ),
        (
            "export",
            ["--quantize", "int8", "--representative-data", "x.npy", "-o", "x.tflite"],
            "--output --representative-data",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_to_write_is_no_other_file_of_the_command(
    model, capsys, command, options, named
):
    shutil.copy(model, "t.keras")
    np.savez("x.npz", x=np.zeros((4, 6)), y=np.zeros(4, int))
    np.save("x.npy", np.zeros((4, 6), "float32"))
    for file, link in LINKS.items():
        os.symlink(file, link)
    os.link("m.keras", "hard.keras")
    content, before = model.read_bytes(), sorted(os.listdir())
    first, second = named.split()
    line = error_of(capsys, command, "m.keras", *options)
    assert f"`{first}` must be another file than {second}. Received: " in line
    assert model.read_bytes() == content and sorted(os.listdir()) == before


def test_files_that_are_only_read_may_be_one_file(model, capsys):
    np.savez("x.npz", x=np.zeros((8, 6)), y=np.arange(8) % 4)
    options = ["--data", "x.npz", "--val", "x.npz", "--teacher", model, "--epochs", "1"]
    json_of(capsys, "prune", model, "--sparsity", "0.5", "-o", "out.keras", *options)


def test_a_page_beside_the_output_is_written(model, capsys):
    options = ["--macs", "0.5", "--no-latency", "--html", "plan.html"]
    json_of(capsys, "shrink", model, *options)
    assert sorted(os.listdir()) == ["m-small.keras", "m.keras", "plan.html"]


def test_the_model_is_replaced_if_that_is_asked_for(model, capsys):
    before = model.stat().st_size
    json_of(capsys, "shrink", model, "--macs", "0.5", "--no-latency", "-o", model)
    assert model.stat().st_size < before and os.listdir() == ["m.keras"]
