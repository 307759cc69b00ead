"""Channels of a residual network removed: accuracy against multiply-adds on CIFAR-10.

    python -m scripts.studies.structured resnet20

Every choice of channels is measured at once and with batch normalization estimated again, on images
that the seed chooses. The choice that does best then, L1 aside, and L1 are trained on for the same
few epochs, with the dense network as teacher and without; the best one longer besides. A run that
was stopped goes on from its last checkpoint. Writes a JSON file and, beside it, a PNG plot.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from models import Dataset
from models.data import arrays
from scripts.lab import experiments, measuring
from scripts.lab.checkpoints import CHANGED
from scripts.lab.folders import RESULTS, ROOT, SHARED
from scripts.lab.options import OneLineParser
from scripts.lab.results_file import Job, Record, ResultsFile
from scripts.studies.structured import accuracy_plot
from scripts.studies.structured.presets import (
    BUDGETS,
    CHOICES,
    DENSE,
    L1,
    PRESETS,
    PUBLISHED,
    Preset,
    Stage,
)
from scripts.studies.structured.runs import Experiment
from tfprune.support.number_argument import number

PROGRAM = "structured"
CHECKPOINTS = ROOT / "results" / PROGRAM
SEEDS = (0, 1, 2)
TRAINED = (0.5, 0.25)  # budgets after which the network is trained on
MEASURES = ("parameters", "multiply_adds")


def removals(preset: Preset, seeds: Sequence[int], best: str | None = None) -> list[Job]:
    """Return what is removed at once: every choice with the first seed, two with the others.

    Args:
        preset: of the network.
        seeds: of the choice of images.
        best: name of the best choice; None leaves the other seeds out.
    """
    jobs = []
    for seed in seeds[: 1 if best is None else None]:
        for name, choice in CHOICES.items():
            if seed == seeds[0] or name in (best, L1):
                options = {"choice": name, **choice.describe()}
                seconds = choice.seconds + 30.0
                jobs += [Job(name, 1 - macs, seed, options, seconds) for macs in BUDGETS]
    return jobs


def recoveries(preset: Preset, seeds: Sequence[int], best: str) -> list[Job]:
    """Return the trainings of the best choice and of L1, then the long ones of the best one."""
    jobs = []
    for seed in seeds:
        for macs in TRAINED:
            for name in (best, L1):
                for distilled in (True, False):
                    jobs.append(_recovery(preset, name, macs, seed, preset.epochs, distilled))
        if seed == seeds[0]:
            jobs += [
                _recovery(preset, best, macs, seed, preset.long_epochs, True) for macs in TRAINED
            ]
    return jobs


def _recovery(
    preset: Preset, name: str, macs: float, seed: int, epochs: int, distilled: bool
) -> Job:
    options = {"choice": name, **CHOICES[name].describe(), **preset.describe()}
    options |= {"epochs": epochs, "distilled": distilled}
    seconds = epochs * preset.epoch_seconds * (macs + 0.3 * distilled)
    return Job(Stage(name, distilled, epochs).method, 1 - macs, seed, options, seconds)


def best_choice(records: Sequence[Record]) -> str:
    """Return the choice, L1 aside, that does best once batch normalization is estimated again.

    Example:
        >>> best_choice([{"method": name, "seed": 0, "accuracy_after": value}
        ...     for name, value in (("l1", 0.9), ("taylor", 0.8), ("random", 0.5))])
        'taylor'
    """
    found: dict[str, list[float]] = {}
    first = records[0]["seed"]
    for record in records:
        if record["seed"] == first and record["method"] in {*CHOICES} - {L1}:
            found.setdefault(record["method"], []).append(record["accuracy_after"])
    return max(found, key=lambda name: statistics.mean(found[name]))


def summarize(settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file."""
    removed = [record for record in records if "accuracy_after" in record]
    trained = [record for record in records if "accuracy" in record]
    at_once = ("accuracy_before", "accuracy_after", *MEASURES)
    return {
        "command": f"python -m scripts.studies.structured {settings['preset']}",
        "versions": settings["versions"],
        "labels": {name: choice.label for name, choice in CHOICES.items()},
        "published": PUBLISHED,
        "rows": experiments.aggregate(removed, at_once),
        "trained": experiments.aggregate(trained, ("accuracy", *MEASURES)),
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("preset", choices=PRESETS, help="which network")
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=number(int, "an integer in [0, 2^32)", 0, 2**32),
        default=list(SEEDS),
        metavar="N",
        help=f"default: {' '.join(map(str, SEEDS))}",
    )
    for option, kind, text in (
        ("data-dir", "DIR", "folder with prepared TFDS data sets; default: searched"),
        ("weights", "FILE", "of the dense network; default: in ../shared/data"),
        ("out", "FILE", "JSON file to write or go on with; default: in scripts/results"),
    ):
        parser.add_argument(f"--{option}", type=Path, metavar=kind, help=text)
    parser.add_argument(
        "--checkpoints",
        type=Path,
        default=CHECKPOINTS,
        metavar="DIR",
        help=f"folder for the models in training; default: results/{PROGRAM}",
    )
    parser.add_argument(
        "--changed",
        choices=CHANGED,
        default=CHANGED[0],
        help="what to do with a checkpoint of other code or data; default: %(default)s",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str], load: Callable[..., Dataset] = arrays.load) -> int:
    args = parse(arguments)
    preset = PRESETS[args.preset]
    out = args.out or RESULTS / f"{PROGRAM}_{args.preset}.json"
    weights = args.weights or (preset.weights and SHARED / preset.weights)
    settings = {
        "preset": args.preset,
        "weights": weights and weights.name,
        "threads": measuring.threads(),
        "versions": measuring.versions(),
    }

    def work() -> None:
        results = ResultsFile(out, settings, lambda records: summarize(settings, records))
        images = load("cifar10", args.data_dir)
        folder = args.checkpoints / args.preset
        experiment = Experiment(preset, images, weights, folder, args.changed)
        seconds = 10.0 + preset.dense_epochs * preset.epoch_seconds
        dense = Job(DENSE, 0.0, 0, preset.describe(), seconds)
        experiments.run_all([dense, *removals(preset, args.seeds)], results, experiment.run)
        best = best_choice(results.records[1:])
        further = [*recoveries(preset, args.seeds, best), *removals(preset, args.seeds, best)]
        experiments.run_all(further, results, experiment.run)
        plot = out.with_suffix(".png")
        accuracy_plot.write(summarize(settings, results.records), plot)
        experiments.say(f"wrote {plot}")

    return experiments.exit_status(PROGRAM, work)
