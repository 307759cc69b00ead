"""Bytes and speed of exported models against dense ones, written to a JSON file.

For every network: the dense float32 file of the pruned model and the files that
`tfprune.export.to_tflite` makes of it take turns of 10 ms or one inference in one run, batch 1. A
speed-up is the median over the rounds of dense latency over sparse latency. Networks
that are in the file already are not measured again.

    python -m scripts.bench.export --cases mobilenet_v1 mlp_1024
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from scripts.bench.export_cases import CASES, Case, inputs_of, pruned
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS
from scripts.lab.options import OneLineParser, add_names, add_out
from scripts.lab.results_file import Job, Record, ResultsFile
from tfprune.export import ExportReport, benchmark, to_tflite
from tfprune.export.run import child, wasm
from tfprune.support.typed_text import number

PROGRAM = "bench_export"
OUT = RESULTS / "bench_export.json"
CALIBRATION = 32
DENSE = "dense"


def measure(case: Case, runs: int, threads: int) -> dict[str, Any]:
    """Return the files of a case: bytes, coverage, differences and times.

    Args:
        case: the network and its target.
        runs: timed turns of each file, of 10 ms or one inference.
        threads: that an inference may use, 1 on WebAssembly.
    """
    files: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        paths: dict[str, str] = {}
        reports: dict[str, ExportReport] = {}
        for kind in case.goals:
            model = pruned(case, kind)
            if not paths:
                paths[DENSE] = f"{folder}/{DENSE}.tflite"
                reports[DENSE] = to_tflite(model, paths[DENSE], sparse=False)
            name = kind or "float32"
            paths[name] = f"{folder}/{name}.tflite"
            reports[name] = to_tflite(
                model,
                paths[name],
                target=case.target,
                quantize=kind,
                lower_conv3x3=case.lower,
                unroll=case.unroll,
                representative_data=inputs_of(model, CALIBRATION, 1) if kind == "int8" else None,
            )
        timings = benchmark(paths, runs=runs, threads=threads, runtime=case.runtime)
    for timing in timings:
        report = reports[timing.name]
        goal = case.goals.get(None if timing.name == "float32" else timing.name)
        files.append(
            {
                **{k: v for k, v in timing.to_dict().items() if k not in ("path", "threads")},
                "goal": goal,
                "difference": report.largest_difference,
                "theory_bytes": report.theory_bytes,
                "encoded_bytes": report.encoded_bytes,
                "sparse_layers": report.coverage.sparse_layers,
                "layers": len(report.coverage.layers),
                "sparse_multiply_adds": report.coverage.sparse_share,
            }
        )
    return {"files": files}


def summarize(settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file."""
    names = " ".join(record["method"] for record in records)
    return {
        "command": f"python -m scripts.bench.export --runs {settings['runs']} --cases {names}",
        "versions": settings["versions"],
        "labels": {name: case.label for name, case in CASES.items()},
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    add_names(parser, "--cases", CASES)
    parser.add_argument(
        "--runs",
        type=number(int, "an integer in [1, 10^6]", 1, 10**6 + 1),
        default=60,
        metavar="N",
        help="timed turns of each file, of 10 ms or one inference; default: %(default)s",
    )
    add_out(parser, OUT)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    versions = measuring.versions() | measuring.runtime_versions()
    settings = {
        "runs": args.runs,
        "turn_seconds": child.TURN_S,
        "threads": 1,
        "versions": versions,
    }
    jobs = [Job(n, CASES[n].sparsity, 0, CASES[n].describe(), 60) for n in args.cases]

    def work() -> None:
        if any(CASES[name].runtime == "wasm" for name in args.cases):
            wasm.require()  # now, not after the first networks
        results = ResultsFile(args.out, settings, lambda records: summarize(settings, records))
        experiments.run_all(jobs, results, lambda job: measure(CASES[job.method], args.runs, 1))

    return experiments.exit_status(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
