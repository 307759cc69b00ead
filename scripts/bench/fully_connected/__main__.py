"""Time of fully connected kernels, natively and in WebAssembly, written to a JSON file.

Layers of many shapes, dense and with zeros, multiply one or several rows. The files of one shape
take turns, on one thread. `costs` fits nanoseconds to them, which `tfprune/targets/costs.py` has.

    python -m scripts.bench.fully_connected
"""

import argparse
import itertools
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bench.fully_connected.costs import fitted
from scripts.bench.fully_connected.files import KERNELS, Case, content_of
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS
from scripts.lab.options import OneLineParser, add_names, add_out
from scripts.lab.results_file import Job, Record, ResultsFile
from tfprune.export.run import runtime, wasm

PROGRAM = "bench_fully_connected"
OUT = RESULTS / "bench_fully_connected.json"
RUNTIMES = ("native", "wasm")
RUNS = 25  # turns of each file
SHAPES = ((64, 64), (128, 128), (256, 256), (512, 512), (1024, 1024), (64, 512), (512, 64))
ROWS = (1, 4, 32)
SPARSITIES = (0.0, 0.8, 0.9, 0.97)
_KINDS = {str(kind or "float32"): kind for kind, _ in KERNELS.values()}


def cases(kind: str, inputs: int, outputs: int, rows: int) -> list[Case]:
    """Return the layers of one shape: the dense one, and those of each kernel with zeros."""
    kernels = [kernel for kernel, (each, _) in KERNELS.items() if each == _KINDS[kind]]
    found = itertools.product(SPARSITIES[1:], kernels)
    return [
        Case(kernels[0], inputs, outputs, 0.0, rows),
        *(Case(kernel, inputs, outputs, sparsity, rows) for sparsity, kernel in found),
    ]


def measure(runtime_name: str, layers: Sequence[Case], runs: int) -> list[dict[str, Any]]:
    """Return one record a layer: its kernel, the values that it stores, and its nanoseconds."""
    bench = wasm.bench if runtime_name == "wasm" else runtime.bench
    with tempfile.TemporaryDirectory() as folder:
        records, paths = [], []
        for number, case in enumerate(layers):
            content, stored = content_of(case)
            paths.append(Path(folder) / f"{number}.tflite")
            paths[-1].write_bytes(content)
            records.append({"kernel": case.name, "sparsity": case.sparsity, "stored": stored})
        wall, _ = bench(paths, runs=runs, warmup=3)
    for record, seconds in zip(records, wall, strict=True):
        record["nanoseconds"] = round(1e9 * float(np.median(seconds)))
    return records


def summarize(settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file: costs fitted to its records."""
    return {
        "command": f"python -m scripts.bench.{PROGRAM.removeprefix('bench_')}",
        "versions": settings["versions"],
        "costs": fitted(records),
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    add_names(parser, "--runtimes", RUNTIMES)
    add_out(parser, OUT)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    settings = {"runs": RUNS, "versions": measuring.versions() | measuring.runtime_versions()}
    jobs = [
        Job(
            f"{name}, {kind}, {inputs} x {outputs}, {rows} rows",
            0.0,
            0,
            {"runtime": name, "kind": kind, "inputs": inputs, "outputs": outputs, "rows": rows},
            15 if name == "wasm" else 5,
        )
        for name, kind, (inputs, outputs), rows in itertools.product(
            args.runtimes, _KINDS, SHAPES, ROWS
        )
    ]

    def run(job: Job) -> dict[str, Any]:
        shape = dict(job.options)
        return {"files": measure(shape.pop("runtime"), cases(**shape), RUNS)}

    def work() -> None:
        if "wasm" in args.runtimes:
            wasm.require()
        results = ResultsFile(args.out, settings, lambda records: summarize(settings, records))
        experiments.run_all(jobs, results, run)

    return experiments.exit_status(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
