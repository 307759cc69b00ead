"""Channels of a residual network removed: accuracy against multiply-adds on CIFAR-10.

    python -m scripts.studies.structured resnet20

Every choice of channels is measured at once, with batch normalization estimated again on images
that the seed chooses, and after the same few epochs of training, with the dense network as teacher
and without. The choice that does best then, L1 aside, and L1 are repeated with other seeds, and
trained for longer with the first one. What the teacher makes of the images is computed once for
all students. A run that was stopped goes on from its last checkpoint. Writes a JSON file and,
beside it, a PNG plot. `KERAS_BACKEND=jax` trains on an accelerator, without TensorFlow; `--quick
mixed` takes half the time on a CPU with AMX, `--quick fused` two thirds on another one.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from models import Dataset
from models.data import arrays
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS, ROOT, SHARED
from scripts.lab.options import OneLineParser, add_changed, add_checkpoints, add_data, add_seeds
from scripts.lab.quick_copies import require_tensorflow
from scripts.lab.results_file import Job, Record, ResultsFile
from scripts.studies.structured import accuracy_plot
from scripts.studies.structured.presets import (
    BUDGETS,
    CHOICES,
    DENSE,
    L1,
    PRESETS,
    PUBLISHED,
    STREAM_L1,
    Preset,
    Stage,
    stage_of,
)
from scripts.studies.structured.runs import Experiment

PROGRAM = "structured"
CHECKPOINTS = ROOT / "results" / PROGRAM
SEEDS = (0, 1, 2)
L1S = (L1, STREAM_L1)
MEASURES = ("parameters", "multiply_adds")


def removals(seeds: Sequence[int], names: Sequence[str]) -> list[Job]:
    """Return what is removed at once.

    Args:
        seeds: of the choice of images.
        names: of the choices of channels.
    """
    return [
        Job(name, 1 - macs, seed, _options(name), CHOICES[name].seconds + 30.0)
        for seed in seeds
        for name in names
        for macs in BUDGETS
    ]


def recoveries(
    preset: Preset, seeds: Sequence[int], names: Sequence[str], *, long: bool = False
) -> list[Job]:
    """Return the trainings that follow the removals.

    Args:
        preset: says how long they are.
        seeds: of the trainings, too.
        names: of the choices of channels.
        long: the longer ones, all with a teacher; the others are with one and without.
    """
    epochs = preset.long_epochs if long else preset.epochs
    return [
        _recovery(preset, Stage(name, distilled, epochs), 1 - macs, seed)
        for seed in seeds
        for macs in BUDGETS
        for name in names
        for distilled in ((True,) if long else (True, False))
    ]


def _recovery(preset: Preset, stage: Stage, sparsity: float, seed: int) -> Job:
    options = {**_options(stage.choice), **preset.recovery(stage.distilled, stage.epochs)}
    seconds = stage.epochs * preset.epoch_seconds * (1 - sparsity)
    return Job(stage.method, sparsity, seed, options, seconds)


def _options(name: str) -> dict[str, Any]:
    return {"choice": name, **CHOICES[name].describe()}


def best_choice(records: Sequence[Record]) -> str:
    """Return the choice, L1 aside, that does best after the shortest training with its teacher.

    Budgets that all of them have been trained for count alike.

    Example:
        >>> shared = {"sparsity": 0.5, "seed": 0}
        >>> best_choice([{"method": f"{name}-distilled-2", "accuracy": value, **shared}
        ...     for name, value in (("l1", 0.9), ("taylor", 0.8), ("random", 0.5))])
        'taylor'
    """
    found: dict[str, dict[float, float]] = {}
    trained = [record for record in records if "accuracy" in record and record["method"] != DENSE]
    shortest = min(stage_of(record["method"]).epochs for record in trained)
    for record in trained:
        stage = stage_of(record["method"])
        counts = stage.distilled and stage.epochs == shortest and stage.choice not in L1S
        if counts and record["seed"] == trained[0]["seed"]:
            found.setdefault(stage.choice, {})[record["sparsity"]] = record["accuracy"]
    shared = set.intersection(*map(set, found.values()))
    return max(found, key=lambda name: sum(found[name][sparsity] for sparsity in shared))


def summarize(settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file."""
    removed = [record for record in records if "accuracy_after" in record]
    trained = [record for record in records if "accuracy" in record]
    at_once = ("accuracy_before", "accuracy_after", *MEASURES)
    return {
        "command": f"python -m scripts.studies.structured {settings['preset']}",
        "versions": measuring.versions(),
        "labels": {name: choice.label for name, choice in CHOICES.items()},
        "published": PUBLISHED,
        "rows": experiments.aggregate(removed, at_once),
        "trained": experiments.aggregate(trained, ("accuracy", *MEASURES)),
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("preset", choices=PRESETS, help="which network")
    add_seeds(parser, SEEDS)
    add_data(parser)
    for option, kind, text in (
        ("weights", "FILE", "of the dense network; default: in ../shared/data"),
        ("out", "FILE", "JSON file to write or go on with; default: in scripts/results"),
    ):
        parser.add_argument(f"--{option}", type=Path, metavar=kind, help=text)
    add_checkpoints(parser, CHECKPOINTS)
    add_changed(parser)
    parser.add_argument(
        "--quick",
        choices=("mixed", "fused"),
        help="train what is left in bfloat16 and measure it in float32 (mixed), or train it with "
        "batch normalization in one operation (fused); default: as it is",
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
    }

    def work() -> None:
        if args.quick:
            require_tensorflow()
        results = ResultsFile(out, settings, lambda records: summarize(settings, records))
        images = load("cifar10", args.data_dir)
        folder = args.checkpoints / args.preset
        experiment = Experiment(preset, images, weights, folder, args.changed, args.quick)
        first, *others = args.seeds
        dense = Job(DENSE, 0.0, 0, preset.describe(), preset.dense_epochs * preset.epoch_seconds)
        jobs = [dense, *removals([first], [*CHOICES])]
        jobs += recoveries(preset, [first], preset.trained)
        experiments.run_all(jobs, results, experiment.run)
        best = best_choice(results.records)
        repeated = (best, STREAM_L1 if CHOICES[best].streams else L1)
        jobs = [*removals(others, repeated), *recoveries(preset, others, repeated)]
        jobs += recoveries(preset, [first], repeated, long=True)
        experiments.run_all(jobs, results, experiment.run)
        plot = out.with_suffix(".png")
        accuracy_plot.write(summarize(settings, results.records), plot)
        experiments.say(f"wrote {plot}")

    return experiments.exit_status(PROGRAM, work)
