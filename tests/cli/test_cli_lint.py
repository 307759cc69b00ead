"""The command `tfprune lint`."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.support.cli_runner import error_of, json_of
from tfprune import cli
from tfprune.export import to_tflite


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file with one layer on a sparse kernel and one that is dense."""
    model = keras.Sequential([keras.Input((256,)), layers.Dense(256), layers.Dense(4)])
    kernel = model.layers[0].kernel
    kept = np.random.default_rng(0).random((64, 256)) < 0.05
    kernel.assign(kernel.numpy() * np.repeat(kept, 4, axis=0))
    path = tmp_path_factory.mktemp("lint") / "model.tflite"
    to_tflite(model, path, target="x86")
    return path


def test_lint_shows_each_layer_with_its_kernel_and_the_share(path, capsys):
    assert cli.main(["lint", str(path)]) == 0
    text = capsys.readouterr().out
    assert "sparse 1x4" in text and "dense: no zeros" in text and "256 x 256" in text
    assert "1 of 2 layers and 98.5% of the multiply-adds run on sparse kernels (arm64)." in text


def test_lint_gives_json(path, capsys):
    found = json_of(capsys, "lint", path, "--target", "x86")
    assert (found["target"], found["sparse_layers"]) == ("x86", 1)
    assert found["multiply_adds"] == 256 * 256 + 256 * 4
    assert [layer["kernel"] for layer in found["layers"]] == ["sparse 1x4", "dense"]
    assert found["blockers"] == {"no zeros": 1}


def test_lint_refuses_other_files_and_targets_in_one_line(path, capsys, tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(path.read_bytes()[:1000])
    assert "truncated or damaged" in error_of(capsys, "lint", broken)
    assert "missing.tflite" in error_of(capsys, "lint", tmp_path / "missing.tflite")
    assert "--target" in error_of(capsys, "lint", path, "--target", "riscv")


def test_lint_explains_itself_with_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["lint", "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert "example:\n  tfprune lint " in text and "--json" in text
