"""Instructions of fully connected kernels on emulated ARM64, written to a JSON file.

Layers of as many outputs as inputs, dense and with zeros in blocks, run at batch 1. A least squares
fit gives instructions for each weight of a dense kernel, for each stored value and each output of a
sparse one. `tfprune/targets/target.py` takes the costs of int8 from it.

    python -m scripts.arm64.kernel_costs
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.arm64 import emulator
from scripts.bench.fully_connected.files import KERNELS, Case, content_of
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS
from scripts.lab.options import OneLineParser, add_out
from tfprune.export.run.child import XNNPACK
from tfprune.export.run.runtime import Run

PROGRAM = "kernel_costs"
OUT = RESULTS / "arm64_kernels.json"
SIZES, SPARSITIES = (256, 512, 1024), (0.0, 0.9, 0.97)


def measure(sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Return one record a file: kernel, outputs, stored values, and instructions with XNNPACK."""
    records: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for name in KERNELS:
            for size in sizes:
                for sparsity in SPARSITIES:
                    case = Case(name, size, size, sparsity)
                    content, stored = content_of(case)
                    path = Path(folder) / f"{len(runs)}.tflite"
                    path.write_bytes(content)
                    runs.append(Run(path, [[np.ones((1, size), np.float32)]]))
                    records.append({"kernel": case.name, "outputs": size, "stored": stored})
        for record, measured in zip(records, emulator.run(runs), strict=True):
            record["instructions"] = measured[XNNPACK].total
    return records


def fitted(records: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return kernel -> instructions for each stored value and, of sparse ones, each output."""
    found = {}
    for kernel in dict.fromkeys(record["kernel"] for record in records):
        rows = [record for record in records if record["kernel"] == kernel]
        names = ["stored"] if kernel.endswith("dense") else ["stored", "outputs"]
        counts = np.array([[*(row[name] for name in names), 1] for row in rows], float)
        told = np.array([row["instructions"] for row in rows], float)
        # Relative errors count, so that small layers do.
        solved = np.linalg.lstsq(counts / told[:, None], np.ones(len(told)), rcond=None)[0]
        found[kernel] = {n: round(float(value), 4) for n, value in zip(names, solved)}
    return found


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    add_out(parser, OUT)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)

    def work() -> None:
        if not emulator.counts_instructions():
            raise ValueError(emulator.why_missing() or "instructions are not counted here")
        records = measure(SIZES)
        found = {
            "command": f"python -m scripts.arm64.{PROGRAM}",
            "versions": measuring.versions() | {"ai_edge_litert": emulator.litert_version()},
            "instructions": fitted(records),
            "records": records,
        }
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        experiments.say(json.dumps(found["instructions"], indent=1))

    return experiments.exit_status(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
