"""Running .tflite files in WebAssembly; skipped where Node or LiteRT.js is missing."""

import configparser
import json
import os
import shutil
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from tests.support.cli_runner import error_of, json_of
from tests.support.export import tflite_files
from tfprune.export import benchmark, to_tflite
from tfprune.export.run import runtime, wasm

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def installed():
    try:
        wasm.require()
    except ValueError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Two inputs of different types and two outputs, whose order and names matter."""
    numbers, words = keras.Input((6,), name="numbers"), keras.Input((4,), dtype="int32", name="a")
    both = layers.Concatenate()([numbers, layers.Flatten()(layers.Embedding(9, 3)(words))])
    model = keras.Model([numbers, words], [layers.Dense(5)(both), layers.Dense(2)(both)])
    path = tmp_path_factory.mktemp("wasm") / "model.tflite"
    to_tflite(model, path)
    return path


def test_outputs_are_those_of_the_native_runtime(installed, file):
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((3, 6)).astype(np.float32), rng.integers(0, 9, (3, 4), np.int32)]
    expected = runtime.outputs(file, inputs, batch=1)[runtime.KERNELS[0]]
    found = wasm.outputs(file, inputs, batch=1)
    assert [array.shape for array in found] == [(3, 5), (3, 2)]
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


def test_a_file_without_a_signature_runs(installed, tmp_path):
    weight = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    path = tflite_files.write(tmp_path, tflite_files.linear(weight))
    source = np.ones((1, 8), np.float32)
    (found,) = wasm.outputs(path, [source])
    np.testing.assert_allclose(found, source @ weight.T, rtol=1e-5)


def test_a_benchmark_has_latencies_and_load_time_and_no_memory(installed, file, capsys):
    first, second = benchmark({"a": file, "b": file}, runs=4, warmup=1, runtime="wasm")
    assert first.ratio == 1.0 and second.ratio > 0
    for timing in (first, second):
        assert 0 < timing.p10_ms <= timing.median_ms <= timing.p90_ms
        assert timing.load_ms > 0 and timing.cpu_ms > 0
        assert (timing.memory_bytes, timing.runtime) == (None, "wasm")
    data = json_of(capsys, "bench", file, "--runtime", "wasm", "--runs", "2")
    assert data["runtime"] == "wasm" and data["files"][0]["median_ms"] > 0


def test_a_file_that_the_runtime_refuses_is_named(installed, file, tmp_path):
    path = tflite_files.write(tmp_path, tflite_files.custom(), "custom.tflite")
    for call in (
        lambda: benchmark({"a": file, "b": path}, runs=1, runtime="wasm"),
        lambda: wasm.outputs(path, [np.ones((1, 3), np.float32)]),
    ):
        with pytest.raises(ValueError, match="LiteRT.js can run.*custom.tflite") as error:
            call()
        assert "\n" not in str(error.value)


def test_inputs_that_do_not_fit_are_an_error(installed, file):
    words = np.zeros((3, 4), np.int32)
    with pytest.raises(ValueError, match="one array for each of the 2 inputs"):
        wasm.outputs(file, [words])
    with pytest.raises(ValueError, match="whole batches"):
        wasm.outputs(file, [words, words], batch=2)
    with pytest.raises(ValueError, match="input 0 must be float32 of shape 1,6, not int32"):
        wasm.outputs(file, [words, words], batch=1)


@pytest.mark.parametrize("missing", ["node", "package"])
def test_a_missing_part_is_one_line_that_says_what_to_run(
    missing, file, tmp_path, monkeypatch, capsys
):
    if missing == "node":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        (tmp_path / "node").write_text("#!/bin/sh\n")
        (tmp_path / "node").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("TFPRUNE_NODE_MODULES", str(tmp_path))
    line = error_of(capsys, "bench", file, "--runtime", "wasm")
    assert "run scripts/setup_wasm.sh" in line
    assert ("no node on the PATH" in line) == (missing == "node")


def test_the_program_is_shipped_and_its_runtime_is_pinned_without_a_host():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert config["options.package_data"]["tfprune.export.run"] == wasm._PROGRAM.name
    lock = json.loads((ROOT / "scripts" / "wasm" / "package-lock.json").read_text())
    wanted = json.loads((ROOT / "scripts" / "wasm" / "package.json").read_text())
    assert wanted["dependencies"] == {wasm.PACKAGE: wasm.VERSION}
    packages = [entry for name, entry in lock["packages"].items() if name]
    assert lock["packages"][f"node_modules/{wasm.PACKAGE}"]["version"] == wasm.VERSION
    assert all("integrity" in entry and "resolved" not in entry for entry in packages)


class Checkout:
    """A copy of the set-up files with stand-ins for Node and npm."""

    def __init__(self, folder):
        self.script, self.log = folder / "scripts" / "setup_wasm.sh", folder / "log"
        self.bin = folder / "bin"
        self.bin.mkdir()
        (folder / "scripts" / "wasm").mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ROOT / "scripts" / "wasm" / name, folder / "scripts" / "wasm" / name)
        shutil.copy(ROOT / "scripts" / "setup_wasm.sh", self.script)
        for tool in "bash cat cksum dirname".split():
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self.add("node", 'case "$1" in -p) echo 20 ;; *) echo v20.0.0 ;; esac')
        mkdir = shutil.which("mkdir")
        self.add("npm", f'echo "$*" >>"{self.log}"; {mkdir} -p node_modules')

    def add(self, name, code):
        (self.bin / name).write_text(f"#!/bin/sh\n{code}\n")
        (self.bin / name).chmod(0o755)

    def run(self, *arguments):
        command = ["bash", str(self.script), *arguments]
        env = {"PATH": str(self.bin)}
        return subprocess.run(command, env=env, cwd=os.sep, capture_output=True, text=True)

    def calls(self):
        return self.log.read_text().splitlines() if self.log.exists() else []


def test_setting_up_installs_the_locked_version_once_until_the_lock_changes(tmp_path):
    checkout = Checkout(tmp_path)
    for _ in range(2):
        assert checkout.run().returncode == 0
        assert [call.split()[0] for call in checkout.calls()] == ["ci"]
    with (checkout.script.parent / "wasm" / "package-lock.json").open("a") as lock:
        lock.write("\n")
    assert checkout.run().returncode == 0
    assert len(checkout.calls()) == 2


def test_setting_up_without_node_or_with_an_old_one_is_one_line(tmp_path):
    checkout = Checkout(tmp_path)
    assert checkout.run("now").stderr == "setup_wasm: takes no argument. Received: now\n"
    checkout.add("node", 'case "$1" in -p) echo 16 ;; *) echo v16.2.0 ;; esac')
    assert checkout.run().stderr == "setup_wasm: needs Node 20 or later. Received: v16.2.0\n"
    (checkout.bin / "node").unlink()
    done = checkout.run()
    assert done.returncode == 2 and "node is not on the PATH" in done.stderr
    assert done.stderr.count("\n") == 1 and checkout.calls() == []
