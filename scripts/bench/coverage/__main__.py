"""How much of ordinary networks runs on sparse kernels, written to a JSON file.

Each network of `images` and `others` has random weights, is pruned to 90 % zeros as the target
wants them, and becomes a file for every target: dense, and with `lower_conv3x3` where that puts
more of it on sparse kernels. Files are run with and without XNNPACK, that for WebAssembly also in
LiteRT.js, and compared with the dense file; the latter is timed beside the dense one.

    python -m scripts.bench.coverage --stage after --networks resnet20 mlp
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import keras

from scripts.bench.coverage.files import SPARSITY, measure
from scripts.bench.coverage.images import IMAGES
from scripts.bench.coverage.others import OTHERS
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS
from scripts.lab.options import OneLineParser, add_names, add_out
from scripts.lab.results_file import Job, Record, ResultsFile
from tfprune.export.run import wasm

PROGRAM = "bench_coverage"
OUT = RESULTS / "bench_coverage.json"
STAGES = ("before", "after")
NETWORKS = {**IMAGES, **OTHERS}
RUNS = 15


def built(name: str) -> keras.Model:
    """Return one of the networks, with the random weights of seed 0, and forget those before."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    _, build = NETWORKS[name]
    return build()


def summarize(settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file."""
    return {
        "command": "python -m scripts.bench.coverage --stage after",
        "versions": settings["versions"],
        "labels": {name: label for name, (label, _) in NETWORKS.items()},
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--stage",
        choices=STAGES,
        default="after",
        help="what the records are called: of the rewrites as they were, or as they are; "
        "default: %(default)s",
    )
    add_names(parser, "--networks", NETWORKS)
    add_out(parser, OUT)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    settings = {"runs": RUNS, "versions": measuring.versions() | measuring.runtime_versions()}
    jobs = [Job(f"{args.stage}/{name}", SPARSITY, 0, {}, 12) for name in args.networks]

    def run(job: Job) -> dict[str, Any]:
        return {"files": measure(built(job.method.split("/")[1]), RUNS)}

    def work() -> None:
        wasm.require()
        results = ResultsFile(args.out, settings, lambda records: summarize(settings, records))
        experiments.run_all(jobs, results, run)

    return experiments.exit_status(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
