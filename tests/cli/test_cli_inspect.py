"""`tfprune inspect`: patterns of weights, and values that are no numbers."""

import keras
import numpy as np
import pytest

import tfprune
from tests.support.cli_runner import error_of, json_of
from tests.support.export import tflite_files
from tfprune import cli
from tfprune.export import to_tflite


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model pruned to 2:4, still with its masks, stripped, and as sparse .tflite; a dense one."""
    folder = tmp_path_factory.mktemp("patterns")
    stack = [keras.layers.Conv2D(8, 3, name="conv"), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((6, 6, 8)), *stack, keras.layers.Dense(6, name="out")])
    model.save(folder / "dense.keras")
    pruned = tfprune.prune(model, tfprune.OneShot(0.5), structure=tfprune.NofM(2, 4))
    tfprune.PruningUpdater(pruned, keras.optimizers.SGD()).begin()
    pruned.save(folder / "pruned.keras")
    stripped = tfprune.strip_pruning(pruned)
    stripped.save(folder / "stripped.keras")
    for target in ("x86", "size"):
        to_tflite(stripped, folder / f"{target}.tflite", target=target)
    to_tflite(model, folder / "dense.tflite")
    return folder


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("pruned.keras", True),
        ("stripped.keras", True),
        ("x86.tflite", True),
        ("size.tflite", True),
        ("dense.keras", False),
        ("dense.tflite", False),
    ],
)
def test_a_pattern_is_found_wherever_a_weight_is_stored(name, holds, files, capsys):
    found = json_of(capsys, "inspect", files / name, "--nofm", "2:4")["nofm"]
    assert (found["kept"], found["m"]) == (2, 4)
    groups = {each["name"].split("/")[0]: each["groups"] for each in found["weights"]}
    assert groups == {"conv": 3 * 3 * 2 * 8, "out": 4 * 4 * 2 * 6}
    assert all((each["exceeding"] == 0) == holds for each in found["weights"])
    narrower = json_of(capsys, "inspect", files / name, "--nofm", "1:4")["nofm"]["weights"]
    assert all(each["exceeding"] == each["groups"] for each in narrower)


def test_a_reader_sees_which_weights_hold_it(files, capsys):
    assert cli.main(["inspect", str(files / "pruned.keras"), "--nofm", "2:4"]) == 0
    assert "  conv/kernel: yes\n  out/kernel: yes\n" in capsys.readouterr().out
    assert cli.main(["inspect", str(files / "dense.keras"), "--nofm", "2:4"]) == 0
    assert "conv/kernel: no, 144 of 144 groups have more\n" in capsys.readouterr().out
    assert "nofm" not in json_of(capsys, "inspect", files / "dense.keras")


@pytest.mark.parametrize("text", ["4:2", "2:2", "0:4", "2", "2:x", "-1:4", ""])
def test_other_patterns_are_refused(text, files, capsys):
    line = error_of(capsys, "inspect", files / "dense.keras", f"--nofm={text}")
    assert "must be N:M with N < M" in line


def test_nan_is_counted_and_said(tmp_path, capsys):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="sick")])
    values = np.ones((4, 3), np.float32)
    values[1, :2] = np.nan
    model.layers[0].kernel.assign(values)
    model.save(tmp_path / "m.keras")
    path = tflite_files.write(tmp_path, tflite_files.linear(values.T))
    assert json_of(capsys, "inspect", tmp_path / "m.keras")["nans"] == {"sick/kernel": 2}
    (constant,) = json_of(capsys, "inspect", path)["constants"]
    assert (constant["nonzeros"], constant["nans"]) == (12, 2)
    for file, warned in ((tmp_path / "m.keras", "2 NaN in 'sick/kernel'"), (path, "2 NaN among")):
        assert cli.main(["inspect", str(file)]) == 0
        assert f"warning: {warned}" in capsys.readouterr().out
