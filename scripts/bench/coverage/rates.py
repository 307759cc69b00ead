"""How long networks take in WebAssembly, written in every way that the export knows: a JSON file.

A least squares fit over all files gives the nanoseconds by which
`tfprune.export.predict.durations` chooses between the ways.

    python -m scripts.bench.coverage.rates
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy.optimize import nnls

from scripts.bench.coverage.__main__ import NETWORKS, built
from scripts.bench.coverage.files import SPARSITY, pruned
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS
from scripts.lab.options import OneLineParser, add_names, add_out
from scripts.lab.results_file import Job, Record, ResultsFile
from tfprune.export import rewrites
from tfprune.export.convert import converter
from tfprune.export.encode.sparse import encode_model
from tfprune.export.file import flatbuffer
from tfprune.export.file.signature import signature_of
from tfprune.export.predict import durations
from tfprune.export.run import wasm
from tfprune.targets.target import TARGETS

PROGRAM = "coverage.rates"
OUT = RESULTS / "bench_rewrites.json"
RUNS = 9
_TARGET = TARGETS["wasm"]
_OUTLIER = 0.2  # relative errors count in full up to here
_PASSES = 20


def measure(model: keras.Model, runs: int) -> list[dict[str, Any]]:
    """Return one record a file: what there is in it of what takes time, and its nanoseconds.

    Args:
        model: a network with random weights; there is none where nothing can be rewritten.
        runs: timed turns of each file.
    """
    sparse = pruned(model, None)
    dense = converter.convert(sparse, signature_of(sparse))
    least = rewrites.apply(dense.model)[0]
    if least is dense.model or len(dense.model.subgraphs) > 1:  # loops are not counted
        return []
    contents = {dense.content: dense.model}
    ways = [way for lower in (False, True) for way in rewrites.ways(dense.model, lower)]
    for way in dict.fromkeys(ways):
        written, _ = rewrites.apply(dense.model, way)
        encoded, _ = encode_model(written, target=_TARGET)
        contents.setdefault(flatbuffer.pack(encoded), encoded)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.tflite" for number in range(len(contents))]
        for path, content in zip(paths, contents):
            path.write_bytes(content)
        wall, _ = wasm.bench(paths, runs=runs, warmup=3)
    return [
        {"counts": durations.counts(each, _TARGET), "nanoseconds": round(1e9 * float(took))}
        for each, took in zip(contents.values(), np.median(wall, axis=1))
    ]


def fitted(records: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return kind -> nanoseconds of one, of what `durations.counts` counts.

    Relative errors count, large ones less than in a square; an inference costs a call besides.
    """
    files = [file for record in records for file in record["files"]]
    kinds = list(dict.fromkeys(kind for file in files for kind in file["counts"]))
    took = np.array([file["nanoseconds"] for file in files], float)
    counts = np.array([[1, *(file["counts"].get(kind, 0) for kind in kinds)] for file in files])
    counts, weights = counts / took[:, None], np.ones(len(took))
    for _ in range(_PASSES):
        found, _ = nnls(counts * weights[:, None], weights)
        errors = np.abs(counts @ found - 1)
        weights = 1 / np.sqrt(np.maximum(1, errors / _OUTLIER))
    return {kind: float(f"{value:.3g}") for kind, value in zip(kinds, found[1:])}


def summarize(settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file: rates fitted to its records."""
    return {
        "command": f"python -m scripts.bench.{PROGRAM}",
        "versions": settings["versions"],
        "rates": fitted(records),
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    add_names(parser, "--networks", NETWORKS)
    add_out(parser, OUT)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    settings = {"runs": RUNS, "versions": measuring.versions() | measuring.runtime_versions()}
    jobs = [Job(name, SPARSITY, 0, {}, 12) for name in args.networks]

    def run(job: Job) -> dict[str, Any]:
        return {"files": measure(built(job.method), RUNS)}

    def work() -> None:
        wasm.require()
        results = ResultsFile(args.out, settings, lambda records: summarize(settings, records))
        experiments.run_all(jobs, results, run)

    return experiments.exit_status(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
