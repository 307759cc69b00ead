"""scripts/bench/arm64.py and the emulated ARM64 Python that it runs files in."""

import json
import subprocess

import keras
import numpy as np
import pytest
from keras import layers

from scripts.arm64 import arm64_table, emulator, kernel_costs
from scripts.arm64.networks import NETWORKS
from scripts.bench import arm64
from scripts.bench.export_cases import inputs_of, scaled, sparse
from scripts.lab.folders import ROOT
from tfprune.export import lint, to_tflite
from tfprune.export.run import child, processes, runtime
from tfprune.export.run.runtime import Run

MISSING = emulator.why_missing()
emulated = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")


def network():
    inputs = keras.Input((8, 8, 16))
    x = layers.Conv2D(64, 1, activation="relu")(layers.ZeroPadding2D(1)(inputs))
    x = layers.Conv2D(64, 1, activation="relu")(layers.DepthwiseConv2D(3, activation="relu")(x))
    x = layers.Dense(256, activation="relu")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(256)(x))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The model, and what a sparse file of it, its dense one and a broken one gave."""
    folder = tmp_path_factory.mktemp("arm64")
    keras.utils.set_random_seed(0)
    model = scaled(sparse(network(), 0.9, "arm64", None))
    runs = [Run(folder / name, [inputs_of(model, 2)]) for name in ("sparse.tflite", "dense.tflite")]
    to_tflite(model, runs[0].path, target="arm64")
    to_tflite(model, runs[1].path, sparse=False)
    return model, runs, emulator.run([*runs, runs[0]])


@emulated
def test_a_file_gives_on_arm64_what_keras_gives(found):
    model, runs, (first, dense, _) = found
    wanted = model(runs[0].inputs[0]).numpy()
    for measured in (*first.values(), *dense.values()):
        (output,) = measured.outputs
        np.testing.assert_allclose(output, wanted, atol=1e-4 * np.abs(wanted).max())
    assert set(first) == set(runtime.KERNELS)


@emulated
@pytest.mark.skipif(not emulator.counts_instructions(), reason="instructions are not counted")
def test_the_kernels_that_run_are_those_that_lint_names(found):
    _, runs, (first, dense, again) = found
    named = {layer.kernel for layer in lint(runs[0].path, target="arm64").layers}
    ran = first[child.XNNPACK]
    assert set(ran.sparse_kernels) == {name for name in named if name.startswith("sparse")} != set()
    assert dense[child.XNNPACK].sparse_kernels == ()
    assert 0 < ran.total < dense[child.XNNPACK].total
    kernels = [name for name in ran.instructions if "ukernel" in name]
    assert kernels == [name for name in again[child.XNNPACK].instructions if "ukernel" in name]
    for name in kernels:
        assert ran.instructions[name] == again[child.XNNPACK].instructions[name]


@emulated
def test_a_damaged_file_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"TFL3" * 40)
    with pytest.raises(processes.RunError, match="broken.tflite.*ARM64|ARM64.*broken.tflite"):
        emulator.run([Run(path, [np.zeros((1, 4), np.float32)])])


def test_where_nothing_is_set_up_the_script_that_does_it_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(emulator, "FOLDER", tmp_path)
    assert arm64.main(["--out", str(tmp_path / "out.json"), "--cases", "mlp"]) == 2
    error = capsys.readouterr().err
    assert "setup_arm64.sh" in error and error.count("\n") == 1
    assert not (tmp_path / "out.json").exists()
    with pytest.raises(ValueError, match="setup_arm64.sh"):
        emulator.run([])


def test_each_kind_of_sparse_kernel_is_known_by_the_functions_of_the_library():
    names = {
        "xnn_f32_spmm_minmax_ukernel_32x1__neonfma_pipelined": "sparse 1x1 NCHW",
        "_ZN6tflite12tensor_utils48NeonSparseMatrixBatchVectorMultiplyAccumulate1x4EPKf": "1x4",
        "_ZN6tflite12tensor_utils49NeonSparseMatrixBatchVectorMultiplyAccumulate1x16EPKa": "1x16",
        "_ZN6tflite12tensor_utils45NeonSparseMatrixBatchVectorMultiplyAccumulateEPKaPKh": "1x16",
        "_ZN6tflite13optimized_ops26FullyConnectedSparseWeightERK14TfLiteSparsity": "rows",
    }
    for function, kernel in names.items():
        assert emulator.kernel_of(function).endswith(kernel)
    assert emulator.kernel_of("xnn_f32_gemm_minmax_ukernel_4x8__neonfma") is None


def test_functions_are_read_from_the_symbols_of_a_library(tmp_path):
    with pytest.raises(ValueError, match="must be a 64-bit"):
        text = tmp_path / "text"
        text.write_bytes(b"no library at all")
        emulator.functions(text)
    if MISSING is None:
        starts, names = emulator.functions(emulator.FOLDER / "site" / emulator.LIBRARY)
        assert starts == sorted(starts) and len(starts) == len(names) > 10_000
        assert any(emulator.kernel_of(name) == "sparse 1x1 NCHW" for name in names)


def test_every_target_of_litert_and_every_way_of_quantizing_is_in_the_results():
    run = json.loads(arm64.OUT.read_text())
    assert {record["method"] for record in run["records"]} == {*NETWORKS}
    wanted = {(t, k or "float32") for t in arm64.ON_LITERT for k in arm64.QUANTIZE}
    for record in run["records"]:
        assert {(file["target"], file["quantize"]) for file in record["files"]} == wanted


def result(**changes):
    kernels = {
        name: {
            "difference": 1e-7,
            "sparse": ["sparse 1x4"],
            "instructions": 100,
            "dense_instructions": 250,
        }
        for name in runtime.KERNELS
    }
    kernels[child.OWN_KERNELS] |= changes
    return {"target": "x86", "quantize": "float32", "predicted": ["sparse 1x4"], "kernels": kernels}


def table_of(*files):
    record = {"method": "mlp", "sparsity": 0.9, "files": list(files)}
    return arm64_table.devices(
        {
            "records": [record],
            "labels": {"mlp": "MLP"},
            "settings": {"examples": 2, "counted": True},
            "command": "python",
            "versions": {"keras": "3"},
        }
    )


def test_the_table_tells_what_runs_what_is_equal_and_on_which_kernels():
    broken = {"target": "wasm", "quantize": "float32", "predicted": [], "error": "no"}
    headings, rows, about = table_of(result(), broken)
    assert headings[-2:] == ["x86", "wasm"]
    assert rows == [
        ["MLP", "float32", "1 of 2", "1 of 2", "1.0e-07", "1x4, 2.50", "**does not run**"]
    ]
    assert "Not equal: MLP, float32, wasm." in about and "for 1 of 1 files" in about
    assert " ms" not in about and "seconds" not in about


def test_a_difference_on_either_kind_of_kernels_is_not_called_equal():
    assert "All are." in table_of(result())[2]
    for wrong in (1e-3, float("nan")):
        _, ((_, _, ran, equal, *_),), about = table_of(result(difference=wrong))
        assert (ran, equal) == ("1 of 1", "0 of 1") and "Not equal: MLP, float32, x86" in about


@pytest.mark.parametrize(
    "tools, words",
    [((), "needs Debian's or Ubuntu's apt-get"), (("apt-get",), "needs Debian's or Ubuntu's dpkg")],
)
def test_the_set_up_says_in_one_line_what_it_needs(tools, words, tmp_path):
    """In a copied checkout, with a PATH that has little."""
    (tmp_path / "scripts" / "arm64").mkdir(parents=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "cat", "cksum", "dirname"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    for name in tools:
        (programs / name).write_text("#!/bin/sh\nexit 1\n")
        (programs / name).chmod(0o755)
    for name in ("scripts/setup_arm64.sh", "scripts/arm64/counter.c", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    command = ["bash", str(tmp_path / "scripts" / "setup_arm64.sh")]
    shown = subprocess.run(command, env={"PATH": str(programs)}, capture_output=True, text=True)
    assert shown.returncode == 2 and words in shown.stderr and shown.stderr.count("\n") == 1
    too_many = subprocess.run([*command, "x"], env={"PATH": str(programs)}, capture_output=True)
    assert too_many.returncode == 2 and b"takes no argument" in too_many.stderr
    assert not (tmp_path / "build").exists()


@emulated
@pytest.mark.skipif(not emulator.counts_instructions(), reason="instructions are not counted")
def test_a_sparse_int8_kernel_takes_what_the_fit_says(monkeypatch):
    monkeypatch.setattr(kernel_costs, "KERNELS", ("int8 1x16",))
    monkeypatch.setattr(kernel_costs, "SPARSITIES", (0.9,))
    (record,) = kernel_costs.measure([256])
    fit = json.loads(kernel_costs.OUT.read_text())["instructions"]["int8 1x16"]
    expected = fit["stored"] * record["stored"] + fit["outputs"] * 256
    assert record["kernel"] == "int8 1x16"
    assert 0 < record["instructions"] - expected < 8000  # what every inference takes


def test_instructions_are_fitted_exactly_where_they_are_linear():
    sizes = [(100, 10), (400, 20), (900, 40)]
    records = [
        {"kernel": "a 1x4", "outputs": n, "stored": s, "instructions": 3 * s + 7 * n + 50}
        for s, n in sizes
    ]
    records += [
        {"kernel": "a dense", "outputs": n, "stored": s, "instructions": 2 * s + 9}
        for s, n in sizes
    ]
    found = kernel_costs.fitted(records)
    assert found == {"a 1x4": {"stored": 3.0, "outputs": 7.0}, "a dense": {"stored": 2.0}}
