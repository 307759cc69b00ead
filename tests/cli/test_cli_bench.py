"""`tfprune bench` says which files were made for another kind of machine."""

import platform

import pytest

from tests.support.cli_runner import json_of
from tests.support.export import architectures
from tfprune import cli
from tfprune.export import to_tflite
from tfprune.export.predict.elsewhere import made_elsewhere


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Convolutions, which have sparse kernels on arm64 and in wasm, and dense layers."""
    folder = tmp_path_factory.mktemp("bench")
    mobile = architectures.pruned(architectures.mobile, 0.9)
    to_tflite(mobile, folder / "mobile.tflite", target="arm64")
    to_tflite(mobile, folder / "dense.tflite", target="arm64", sparse=False)
    matrices = architectures.pruned(architectures.perceptron, 0.95, block=4)
    to_tflite(matrices, folder / "matrices.tflite", target="x86")
    return folder


def test_a_file_with_kernels_elsewhere_says_where_in_one_line(files, capsys, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    path = str(files / "mobile.tflite")
    (note,) = json_of(capsys, "bench", path, "--runs", "1")["notes"]
    assert note.startswith(f"{path} was made for arm64 and wasm: ") and "here (x86)" in note
    assert cli.main(["bench", path, "--runs", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"Note: {note}"


def test_files_that_are_as_sparse_here_are_not_told_apart(files, capsys, monkeypatch):
    assert made_elsewhere(files / "matrices.tflite", "x86") == ""
    assert made_elsewhere(files / "mobile.tflite", "arm64") == ""
    assert made_elsewhere(files / "mobile.tflite", "wasm") == ""
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    path = str(files / "mobile.tflite")
    assert json_of(capsys, "bench", path, "--runs", "1")["notes"] == []
