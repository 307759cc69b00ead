"""Latency and bytes of structured matrices in place of a dense kernel, in files that are run.

    python -m scripts.bench.structured_matrices

A Dense layer of 1024 inputs and 1024 units with random weights, and what `tfprune.restructure`
makes of it, timed in turns, one thread, natively and in WebAssembly where Node is there. Random
weights are the worst case for the errors in the table: a trained kernel is nearer to such matrices,
and training the restructured model brings most of it back.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras

import tfprune
from scripts.lab import measuring
from scripts.lab.folders import RESULTS
from tfprune.export.run import wasm
from tfprune.support.files import replacing
from tfprune.support.typed_text import number

SIZE = 1024
CASES = (
    ("monarch", 32),
    ("monarch", 64),
    ("monarch", 128),
    ("block_diagonal", 4),
    ("block_diagonal", 32),
    ("circulant", 256),
    ("fastfood", 1),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--runs", type=number(int, "an integer >= 10", 10), default=200, help="default: %(default)s"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "bench_structured_matrices.json")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(SIZE, use_bias=False, name="dense")
    model = keras.Sequential([keras.Input((SIZE,)), layer])
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = {"dense": f"{folder}/dense.tflite"}
        told = tfprune.export.to_tflite(model, paths["dense"])
        rows["dense"] = {"parameters": SIZE * SIZE, "bytes": told.bytes, "error": 0.0}
        for kind, blocks in CASES:
            name = f"{kind}, blocks={blocks}"
            small, report = tfprune.restructure(model, kind, blocks=blocks)
            paths[name] = f"{folder}/{kind}{blocks}.tflite"
            told = tfprune.export.to_tflite(small, paths[name])
            (row,) = report.layers
            rows[name] = {"parameters": row.after, "bytes": told.bytes, "error": row.error}
        runtimes = ["native", *(["wasm"] if wasm.is_installed() else [])]
        for runtime in runtimes:
            timings = tfprune.export.benchmark(paths, runs=arguments.runs, runtime=runtime)
            for timing in timings:
                values = {"median_ms": timing.median_ms, "speed_up": timing.ratio}
                rows[timing.name][runtime] = values
    results = {
        "command": f"python -m scripts.bench.structured_matrices --runs {arguments.runs}",
        "versions": measuring.versions() | measuring.runtime_versions(),
        "machine": measuring.machine(),
        "threads": 1,
        "size": SIZE,
        "rows": rows,
    }
    with replacing(arguments.out) as new:
        Path(new).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
