"""One budget of bytes, met by all methods together and by each of them alone.

    python -m scripts.studies.budget_search --lstm CHECKPOINT

LeNet-5 is trained for three epochs, anew for each seed; ResNet-20 and the language model have given
weights, and seeds choose the examples alone. Each is brought down to a fraction of the bytes of its
gzip'ed float32 file by `tfprune.compress`, which may round weights in every case, and do one more
thing or all of them. Examples are training data; nothing is trained afterwards.
"""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfprune
from models.data import arrays
from models.images.classic import lenet_5
from models.images.resnet import load_resnet20, normalize
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS, SHARED
from scripts.lab.options import PENN_TREEBANK, OneLineParser, add_data, add_seeds
from scripts.lab.results_file import Job, Record, ResultsFile
from scripts.studies.budget_search.methods_table import DENSE, METHODS, NETWORKS
from scripts.studies.quantization.tasks import Task, Words
from scripts.studies.survey.tasks import Classifier

PROGRAM = "budget_search"
WEIGHTS = SHARED / "resnet20_cifar10" / "resnet20_cifar10_keras.npz"
LEFT = {"lenet_5": 0.03, "resnet20": 0.08, "lstm": 0.1}  # of the bytes of the gzip'ed float32 file
MEASURED = ("bytes", "gzip_bytes", "score", "loss")
SEEDS = (0, 1, 2)
EXAMPLES = {"lenet_5": 1000, "resnet20": 600, "lstm": 400}


@dataclasses.dataclass
class Experiment:
    """The networks, each made when it is first asked for.

    Args:
        data_dir: folder of TFDS data sets; None searches.
        text_dir: folder of the PTB text; None searches.
        weights: of ResNet-20.
        lstm: checkpoint of the comparison's dense language model of width 200.
    """

    data_dir: Path | None
    text_dir: Path | None
    weights: Path
    lstm: Path | None
    _models: dict[tuple[str, int], keras.Model] = dataclasses.field(default_factory=dict)

    def run(self, job: Job) -> dict[str, Any]:
        """Compress a network, and measure its file."""
        name = job.options["network"]
        task = self.task(name)
        key = name, job.seed
        if key not in self._models:
            self._models[key] = _trained(name, task, job.seed)
        model = self._models[key]
        if job.options["by"] == DENSE:
            return self._measured(task, model, "size", None)
        try:
            small, plan = tfprune.compress(
                model,
                {"gzip_bytes": LEFT[name]},
                _examples(task, EXAMPLES[name], job.seed),
                loss=task.loss(),
                methods=METHODS[job.options["by"]],
                examples=EXAMPLES[name],
                seed=job.seed,
            )
        except ValueError as error:
            if "within reach" not in str(error):
                raise
            return {"out_of_reach": str(error)}
        plain = small if plan.is_plain else tfprune.strip_pruning(small, compile=False)
        found = self._measured(task, plain, plan.target, plan.quantize)
        return {**found, "loss": plan.loss_after, "plan": plan.to_dict()}

    def task(self, name: str) -> Task:
        """Return a network with its data."""
        if name == "lstm":
            if self.lstm is None:
                raise ValueError("`--lstm` must name a checkpoint of the comparison's dense LSTM")
            return Words(self.lstm, self.text_dir)
        if name == "resnet20":
            images = arrays.load("cifar10", self.data_dir)
            return Classifier(images, partial(load_resnet20, self.weights), normalize, True)
        return Classifier(arrays.load("fashion_mnist", self.data_dir), lenet_5)

    def _measured(
        self, task: Task, model: keras.Model, target: str, quantize: str | None
    ) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.tflite")
            options: dict[str, Any] = {"target": target, "quantize": quantize}
            told = tfprune.export.to_tflite(model, path, **options)
            return {
                "bytes": told.bytes,
                "gzip_bytes": told.gzip_bytes,
                "score": task.score_of_file(path),
                "loss": 0.0,
            }


def plan(networks: Sequence[str], seeds: Sequence[int] = SEEDS) -> list[Job]:
    """Return all jobs."""
    return [
        Job(f"{method}, {network}", 0.0, seed, {"network": network, "by": method})
        for network in networks
        for seed in seeds
        for method in (DENSE, *METHODS)
    ]


def summarize(records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file: one row a network and method."""
    kinds = {record["method"]: record["options"] for record in records}
    reached = [record for record in records if "out_of_reach" not in record]
    found = {row["method"]: row for row in experiments.aggregate(reached, MEASURED)}
    rows = []
    for method, options in kinds.items():
        row = {"network": options["network"], "method": options["by"]}
        own = [record for record in records if record["method"] == method]
        missed = [record["out_of_reach"] for record in own if "out_of_reach" in record]
        if missed:
            row["out_of_reach"] = missed
        else:
            row |= {name: found[method][name] for name in (*MEASURED, "seeds")}
        rows.append(row)
    return {
        "command": f"python -m scripts.studies.{PROGRAM} --lstm CHECKPOINT",
        "versions": measuring.versions(),
        "rows": rows,
    }


def main(argv: list[str] | None = None) -> int:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    add_seeds(parser, SEEDS)
    add_data(parser)
    add_data(parser, "--text-dir", PENN_TREEBANK)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, metavar="FILE")
    parser.add_argument("--lstm", type=Path, metavar="FILE", help="checkpoint of the dense LSTM")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{PROGRAM}.json", metavar="FILE")
    return experiments.exit_status(PROGRAM, partial(_run, parser.parse_args(argv)))


def _run(args: argparse.Namespace) -> None:
    results = ResultsFile(args.out, {"left": LEFT, "examples": EXAMPLES}, summarize)
    experiment = Experiment(args.data_dir, args.text_dir, args.weights, args.lstm)
    experiments.run_all(plan(args.networks, args.seeds), results, experiment.run)


def _trained(name: str, task: Task, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = task.network()
    if name == "lenet_5":
        assert isinstance(task, Classifier)
        images = task.images
        model.compile("adam", task.loss())
        model.fit(images.x_train, images.y_train, batch_size=128, epochs=3, verbose=0)
    return model


def _examples(task: Task, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return examples of training."""
    batches = task.batches(seed, 0)
    parts = [next(batches) for _ in range(-(-count // task.batch_size))]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


if __name__ == "__main__":
    sys.exit(main())
