"""A few values in each kernel of a trained ResNet-20: accuracy by how they are chosen.

    python -m scripts.studies.clustering

Batch normalizations are folded, and the kernels of ResNet-20 for CIFAR-10 clustered to 4, 8 and 16
values (2, 3 and 4 bits) in each output channel or in the whole kernel, by each of the starts of
`tfprune.cluster`. Nothing is trained afterwards. The seed chooses the training images that the
Fisher information is measured on, cropped and flipped as in the network's own training, and what
k-means++ draws; the others do not depend on it. Accuracy is that of all test images.
"""

import argparse
import dataclasses
import sys
from functools import partial
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
from scripts.lab.options import OneLineParser, add_data, add_seeds
from scripts.lab.results_file import Job, Record, ResultsFile
from scripts.studies.clustering.values_table import DENSE, LEVELS, PER, STARTS

PROGRAM = "clustering"
WEIGHTS = SHARED / "resnet20_cifar10" / "resnet20_cifar10_keras.npz"
BY_SEED = ("fisher", "kmeans++")
EXAMPLES = 5000


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The network, the images that methods may see, and those that measure it."""

    model: keras.Model
    images: Dataset
    accuracy: measuring.Evaluator

    def run(self, job: Job) -> dict[str, Any]:
        """Cluster, and measure the accuracy."""
        if job.method == DENSE:
            return {"accuracy": self.accuracy(tfprune.fold_batch_norm(self.model))}
        start, per, levels = job.options["start"], job.options["per"], job.options["levels"]
        options: dict[str, Any] = {}
        if start == "fisher":
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            options = {"data": self._examples(job.seed), "loss": loss, "examples": EXAMPLES}
        clustered = tfprune.cluster(
            self.model, levels, per=per, init=start, seed=job.seed, **options
        )
        return {"accuracy": self.accuracy(tfprune.strip_pruning(clustered, compile=False))}

    def _examples(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        chosen = random.choice(len(self.images.x_train), EXAMPLES, replace=False)
        return (
            normalize(crop_and_flip(self.images.x_train[chosen], seed)),
            self.images.y_train[chosen],
        )


def plan(seeds: list[int]) -> list[Job]:
    """Return all jobs; a start that no seed changes has the first one alone."""
    jobs = [Job(DENSE, 0.0, seeds[0])]
    for seed in seeds:
        for start in STARTS:
            for levels in LEVELS:
                for per in PER:
                    if seed == seeds[0] or start in BY_SEED:
                        options = {"start": start, "per": per, "levels": levels}
                        jobs.append(Job(f"{start}, {levels} a {per}", 0.0, seed, options))
    return jobs


def summarize(records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file."""
    return {
        "command": f"python -m scripts.studies.{PROGRAM}",
        "versions": measuring.versions(),
        "rows": experiments.aggregate(records, ["accuracy"]),
    }


def main(argv: list[str] | None = None) -> int:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0])
    add_seeds(parser, [0, 1, 2])
    add_data(parser)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, metavar="FILE")
    parser.add_argument("--out", type=Path, default=RESULTS / "clustering.json", metavar="FILE")
    return experiments.exit_status(PROGRAM, partial(_run, parser.parse_args(argv)))


def _run(arguments: argparse.Namespace) -> None:
    model = load_resnet20(arguments.weights)
    images = arrays.load("cifar10", arguments.data_dir)
    folded = tfprune.fold_batch_norm(model)
    accuracy = measuring.Evaluator(folded, normalize(images.x_test), images.y_test)
    results = ResultsFile(arguments.out, {"examples": EXAMPLES}, summarize)
    experiments.run_all(plan(arguments.seeds), results, Experiment(model, images, accuracy).run)


if __name__ == "__main__":
    sys.exit(main())
