"""`tfprune export --target microcontroller` and the array for firmware."""

import re
import shutil
import subprocess

import keras
import numpy as np
import pytest

from tests.support.cli_runner import error_of, json_of
from tfprune import cli
from tfprune.export.run import micro


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("micro") / "dense-32.keras"
    dense = keras.Sequential([keras.Input((32,)), keras.layers.Dense(64)])
    kept = np.random.default_rng(0).random((32, 64)) < 0.1
    dense.layers[0].kernel.assign(dense.layers[0].kernel.numpy() * kept)
    dense.save(path)
    return path


@pytest.mark.skipif(not micro.is_installed(), reason="needs the tflite-micro package")
def test_the_array_is_the_file_and_names_the_operators(model, capsys, tmp_path):
    out, array = tmp_path / "m.tflite", tmp_path / "m.cc"
    arguments = ["export", model, "-o", out, "--target", "microcontroller", "--c-array", array]
    found = json_of(capsys, *arguments)
    assert found["micro"]["decoders"] == 1
    text = array.read_text()
    numbers = [int(each, 16) for each in re.findall(r"0x(\w\w)", text)]
    assert bytes(numbers) == out.read_bytes()
    assert f"m_size = {len(numbers)};" in text and "FULLY_CONNECTED, TFLM_DECODE." in text
    assert cli.main(["lint", str(out), "--target", "microcontroller"]) == 0
    assert "save flash, no time" in capsys.readouterr().out
    if shutil.which("g++"):
        command = ["g++", "-Wall", "-Wextra", "-Werror", "-c", array, "-o", tmp_path / "m.o"]
        subprocess.run(command, check=True)


def test_an_array_is_for_microcontrollers_and_is_c_plus_plus(model, capsys, tmp_path):
    name = tmp_path / "m.cc"
    assert "needs --target microcontroller" in error_of(capsys, "export", model, "--c-array", name)
    arguments = ("export", model, "--target", "microcontroller", "--c-array")
    message = error_of(capsys, "export", model, "--arena-bytes", "4096")
    assert "`--arena-bytes` needs --target microcontroller" in message
    assert "must end in .cc or .cpp" in error_of(capsys, *arguments, tmp_path / "m.h")
    assert "no/such/folder" in error_of(capsys, *arguments, "no/such/folder/m.cc")
