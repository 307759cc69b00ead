"""scripts/bench/fully_connected: the layers that are timed, and the fit to what they took."""

import json

import pytest

from scripts.bench.fully_connected import __main__ as program
from scripts.bench.fully_connected.costs import fitted
from scripts.bench.fully_connected.files import KERNELS, Case, content_of
from tfprune.export.file import flatbuffer
from tfprune.export.predict import linting
from tfprune.targets.costs import KernelCosts
from tfprune.targets.target import TARGETS


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_file_holds_the_kernel_that_it_is_named_after(kernel):
    content, stored = content_of(Case(kernel, 64, 32, 0.75, rows=3))
    model = flatbuffer.parse(content, "layer")
    (row,) = linting.coverage(model, "layer", TARGETS["x86"]).layers
    assert kernel.split()[1] in row.kernel or kernel.endswith("rows") and "rows" in row.kernel
    assert 0 < stored < 64 * 32 and row.multiply_adds == 3 * 64 * 32


def test_a_fit_finds_what_each_kernel_takes_of_layers_that_fit_the_cache():
    records = []
    for size, rows in ((64, 1), (64, 8), (256, 1), (256, 8), (512, 2)):
        files = [
            {
                "kernel": kernel,
                "sparsity": sparsity,
                "stored": stored,
                "nanoseconds": kernel_costs.nanoseconds(stored, size, rows),
            }
            for kernel, sparsity, stored, kernel_costs in (
                ("float32 dense", 0.0, size * size, KernelCosts(0.03, 0.01, 0.5, call=400)),
                ("float32 1x4", 0.9, size * size // 10, KernelCosts(0.2, 0.1, 1.0, call=450)),
            )
        ]
        options = {"runtime": "native", "kind": "float32", "inputs": size, "outputs": size}
        records.append({"options": {**options, "rows": rows}, "files": files})
    records.append({"options": {**records[0]["options"], "inputs": 65536}, "files": []})
    (found,) = fitted(records).values()
    dense = {"call": 400, "first": 0.03, "further": 0.01, "output": 0.5}
    assert found["float32 dense"] == pytest.approx(dense, rel=0.02)
    sparse = {"call": 450, "first": 0.2, "further": 0.1, "output": 1.0}
    assert found["float32 1x4"] == pytest.approx(sparse, rel=0.02)


def test_files_of_one_shape_are_timed_and_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "SHAPES", ((32, 16),))
    monkeypatch.setattr(program, "ROWS", (2,))
    monkeypatch.setattr(program, "SPARSITIES", (0.0, 0.8))
    monkeypatch.setattr(program, "RUNS", 1)
    file = tmp_path / "results.json"
    assert program.main(["--runtimes", "native", "--out", f"{file}"]) == 0
    run = json.loads(file.read_text())
    assert list(run["costs"]) == ["native, float32", "native, dynamic", "native, int8"]
    assert [len(record["files"]) for record in run["records"]] == [3, 2, 2]
    assert all(each["nanoseconds"] > 0 for record in run["records"] for each in record["files"])
