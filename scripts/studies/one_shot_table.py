"""One-shot pruning of a pretrained ResNet-20: accuracy of every method at several sparsities.

    python -m scripts.studies.one_shot_table

All 20 kernels are pruned, the first convolution and the last layer among them, as the WoodFisher
paper does on CIFAR-10. Nothing is trained afterwards: each method sees the same few training
images, which the seed chooses, cropped and flipped as in the network's own training (without that,
estimating batch-normalization statistics again costs the dense network 2.9 points). Accuracy is
measured before and after these statistics are estimated again on those images, which any method
can do. A run that was stopped goes on where it was when it is started again. Writes a JSON file
and, beside it, a PNG plot.
"""

import argparse
import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfprune
from models import Dataset, load_resnet20
from models.data import arrays
from models.images.batches import crop_and_flip
from models.images.resnet import normalize
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS, SHARED
from scripts.lab.measuring import Evaluator
from scripts.lab.options import OneLineParser
from scripts.lab.results_file import Job, Record, ResultsFile
from scripts.studies import one_shot_plots
from scripts.studies.one_shot_methods import ELSEWHERE, EVALUATION_SECONDS, METHODS, SPARSITIES
from tfprune.support.typed_text import number
from tfprune.wrapping.pruned_layer import pruned_layers

PROGRAM = "one_shot_table"
WEIGHTS = SHARED / "resnet20_cifar10" / "resnet20_cifar10_keras.npz"
OUT = RESULTS / "one_shot_table.json"
SEEDS = (0, 1, 2)
MEASURES = ("accuracy_before", "accuracy_after")
DENSE = "dense"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One pretrained model, the images that methods may see, and those that measure it.

    Args:
        model: plain classifier with logits.
        x, y: training images in [0, 1] and labels to choose from.
        examples: how many of them a method sees.
        accuracy: plain model -> test accuracy.
        one_shot, refresh_batch_norm: `tfprune.one_shot` and `tfprune.refresh_batch_norm`.
    """

    model: keras.Model
    x: np.ndarray
    y: np.ndarray
    examples: int
    accuracy: Callable[[keras.Model], float]
    one_shot: Callable[..., Any] = tfprune.one_shot
    refresh_batch_norm: Callable[..., Any] = tfprune.refresh_batch_norm
    passed: dict[tuple[str, int], dict[float, Any]] = dataclasses.field(default_factory=dict)

    def run(self, job: Job) -> dict[str, Any]:
        """Prune, and measure the accuracy before and after the refresh."""
        if job.method == DENSE:
            plain = keras.models.clone_model(self.model)
            plain.set_weights(self.model.get_weights())
            return self._measured(plain, job.seed, [])
        if not METHODS[job.method].on_the_way:
            pruned, report = self._pruned(job.method, job.sparsity, job.seed)
            return self._measured(pruned, job.seed, report.to_dict()["stages"])
        key = job.method, job.seed
        if key not in self.passed:
            self._go_all_the_way(*key)
        return self.passed[key][job.sparsity]

    def _go_all_the_way(self, method: str, seed: int) -> None:
        """Prune to the highest sparsity and note what is measured at the others on the way."""
        passed: dict[float, dict[str, Any]] = {}
        results: list[Any] = []

        def look(pruned: keras.Model, result: Any) -> None:
            results.append(result)
            found = next((s for s in SPARSITIES if math.isclose(s, result.sparsity)), None)
            if found is not None:
                stages = [
                    dataclasses.asdict(stage) | {"measured_change": stage.measured_change}
                    for stage in results
                ]
                passed[found] = self._measured(pruned, seed, stages)

        self._pruned(method, max(SPARSITIES), seed, on_stage=look)
        self.passed[method, seed] = passed

    def _examples(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = np.random.default_rng(seed).choice(len(self.x), self.examples, replace=False)
        return normalize(crop_and_flip(self.x[chosen], seed)), self.y[chosen]

    def _pruned(self, method: str, sparsity: float, seed: int, **options: Any) -> Any:
        return self.one_shot(
            self.model,
            sparsity,
            METHODS[method].scorer,
            self._examples(seed),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            refresh_batch_norm=False,
            examples=self.examples,
            seed=seed,
            verbose=False,
            **METHODS[method].options,
            **options,
        )

    def _measured(self, model: keras.Model, seed: int, stages: list[Any]) -> dict[str, Any]:
        plain = tfprune.strip_pruning(model) if pruned_layers(model) else model
        before = self.accuracy(plain)
        self.refresh_batch_norm(plain, self._examples(seed)[0])
        return {
            "accuracy_before": before,
            "accuracy_after": self.accuracy(plain),
            "zeros": measuring.zeros(plain),
            "stages": stages,
        }


def plan(
    methods: Sequence[str],
    sparsities: Sequence[float],
    seeds: Sequence[int],
    *,
    examples: int,
    images: int,
) -> list[Job]:
    """Return all jobs: every method at every sparsity with one seed, before the next seed."""
    jobs = []
    for seed in seeds:
        seconds = 2 * EVALUATION_SECONDS * images / 10_000
        jobs.append(Job(DENSE, 0.0, seed, {}, seconds))
        for name in methods:
            method = METHODS[name]
            expected = method.expected_seconds(examples, images)
            jobs += [Job(name, s, seed, method.describe(), expected) for s in sparsities]
    return jobs


def summarize(settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file: the command that makes its records, and the rows."""
    pruned = [record for record in records if record["method"] != DENSE]

    def listed(name: str) -> str:
        return " ".join(dict.fromkeys(f"{record[name]}" for record in pruned))

    options = {name: listed(name) for name in ("method", "sparsity", "seed")}
    return {
        "command": f"python -m scripts.studies.one_shot_table --images {settings['images']} "
        f"--examples {settings['examples']} --methods {options['method']} "
        f"--sparsities {options['sparsity']} --seeds {options['seed']}",
        "versions": settings["versions"],
        "labels": {name: method.label for name, method in METHODS.items()},
        "elsewhere": ELSEWHERE,
        "rows": experiments.aggregate(records, MEASURES),
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    experiments.add_job_options(parser, METHODS, SPARSITIES, SEEDS, OUT)
    parser.add_argument(
        "--images",
        type=number(int, "an integer in [1, 10000]", 1, 10_001),
        default=10_000,
        metavar="N",
        help="test images, the first ones; default: %(default)s",
    )
    parser.add_argument(
        "--examples",
        type=number(int, "an integer in [2, 50000]", 2, 50_001),
        default=1000,
        metavar="N",
        help="training images that methods see; default: %(default)s",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        default=WEIGHTS,
        metavar="FILE",
        help="pretrained ResNet-20, see models.load_resnet20; default: "
        "../shared/data/resnet20_cifar10/resnet20_cifar10_keras.npz beside the checkout",
    )
    return parser.parse_args(arguments)


def _refuse(unknown: set[float]) -> None:
    raise ValueError(
        f"Methods in stages are measured at {sorted(SPARSITIES)} only. "
        f"Received: {sorted(unknown)}."
    )


def main(arguments: Sequence[str], load: Callable[..., Dataset] = arrays.load) -> int:
    args = parse(arguments)
    unknown = set(args.sparsities) - set(SPARSITIES)
    if unknown and any(METHODS[name].on_the_way for name in args.methods):
        return experiments.exit_status(PROGRAM, lambda: _refuse(unknown))
    settings = {
        "images": args.images,
        "examples": args.examples,
        "weights": args.weights.name,
        "threads": measuring.threads(),
        "versions": measuring.versions(),
    }
    jobs = plan(
        args.methods, args.sparsities, args.seeds, examples=args.examples, images=args.images
    )

    def work() -> None:
        results = ResultsFile(args.out, settings, lambda records: summarize(settings, records))
        model = load_resnet20(args.weights)
        images = load("cifar10", args.data_dir)
        x, y = normalize(images.x_test[: args.images]), images.y_test[: args.images]
        experiment = Experiment(
            model, images.x_train, images.y_train, args.examples, Evaluator(model, x, y)
        )
        experiments.run_all(jobs, results, experiment.run)
        plot = args.out.with_suffix(".png")
        one_shot_plots.write(summarize(settings, results.records), plot)
        experiments.say(f"wrote {plot}")

    return experiments.exit_status(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
