"""Files of integers: accuracy after training and in training, dense and sparse.

    python -m scripts.studies.quantization resnet20
    python -m scripts.studies.quantization lstm --weights CHECKPOINT.npz

Each network is pruned by magnitude, trained on in float32 or with weights and activations rounded,
for as many steps, and written as a file, which LiteRT runs on the test examples. A run that was
stopped goes on from its last checkpoint.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.data import arrays
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS, ROOT, SHARED
from scripts.lab.options import (
    ANY_DATA,
    OneLineParser,
    add_changed,
    add_checkpoints,
    add_data,
    add_seeds,
)
from scripts.lab.results_file import Job, Record, ResultsFile
from scripts.readme.markdown import with_caption
from scripts.studies.quantization.accuracy_table import quantized
from scripts.studies.quantization.runs import METHODS, Experiment
from scripts.studies.quantization.tasks import Images, Task, Words
from tfprune.support.typed_text import number

PROGRAM = "quantization"
SPARSITIES = (0.0, 0.8, 0.5, 0.9)
SEEDS = (0, 1, 2)
PUT = {"resnet20": (100, 150), "lstm": (100, 150)}  # steps of pruning, and of training after it
WEIGHTS = {"resnet20": SHARED / "resnet20_cifar10" / "resnet20_cifar10_keras.npz"}


def jobs_of(name: str, seeds: Sequence[int], sparsities: Sequence[float]) -> list[Job]:
    """Return the runs, the most telling first."""
    pruning, steps = PUT[name]
    options = {"pruning_steps": pruning, "steps": steps}
    return [
        Job(method, sparsity, seed, options, 300.0)
        for seed in seeds
        for sparsity in sparsities
        for method in METHODS
    ]


def summarize(settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file."""
    return {
        "command": f"python -m scripts.studies.quantization {settings['network']}",
        "versions": {**measuring.versions(), **measuring.runtime_versions()},
        "labels": {name: method.label for name, method in METHODS.items()},
        "rows": experiments.aggregate(records, ("keras", "file", "zeros", "bytes", "gzip_bytes")),
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("network", choices=PUT, help="which network")
    add_seeds(parser, SEEDS)
    fraction = number(float, "a fraction in [0, 1)", 0, 1)
    parser.add_argument(
        "--sparsities", nargs="+", type=fraction, default=list(SPARSITIES), metavar="S"
    )
    for option, kind_of, text in (
        ("weights", "FILE", "of the dense network; default: in ../shared/data, if it is there"),
        ("out", "FILE", "JSON file to write or go on with; default: in scripts/results"),
    ):
        parser.add_argument(f"--{option}", type=Path, metavar=kind_of, help=text)
    add_data(parser, about=ANY_DATA)
    add_checkpoints(parser, ROOT / "results" / PROGRAM)
    add_changed(parser)
    return parser.parse_args(arguments)


def _task(args: argparse.Namespace) -> Task:
    weights = args.weights or WEIGHTS.get(args.network)
    if weights is None:
        raise ValueError("`--weights` must name a checkpoint of the comparison's dense LSTM")
    if args.network == "lstm":
        return Words(weights, args.data_dir)
    return Images(arrays.load("cifar10", args.data_dir), weights)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    out = args.out or RESULTS / f"{PROGRAM}_{args.network}.json"

    def work() -> None:
        task = _task(args)
        settings = {"network": args.network, "measure": task.measure}
        results = ResultsFile(out, settings, lambda records: summarize(settings, records))
        folder = args.checkpoints / args.network
        experiment = Experiment(task, *PUT[args.network], folder, args.changed)
        experiments.run_all(
            jobs_of(args.network, args.seeds, args.sparsities), results, experiment.run
        )
        experiments.say(with_caption(quantized(json.loads(out.read_text(encoding="utf-8")))))

    return experiments.exit_status(PROGRAM, work)
