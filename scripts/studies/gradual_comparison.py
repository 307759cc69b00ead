"""Gradual pruning of a CNN on Fashion-MNIST by several scorers from the same checkpoint.

    python -m scripts.studies.gradual_comparison

For each seed one dense model is trained. Every method goes on from it with the same optimizer,
batches and schedule, so that only what is kept differs. The model is the CNN of `models` at width
16: small enough that 98 % leaves about 2,100 weights and methods come apart, large enough to be
dense at 88 to 89 % after two epochs. Thresholds lie over all layers, or layers get their sparsity
from ERK; at one sparsity for all, 98 % would leave the first convolution 3 weights, and the
comparison would be of that. A run that was stopped goes on where it was when it is started again.
"""

import argparse
import dataclasses
import hashlib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfprune
from models import Dataset, digits_cnn
from models.data import arrays
from scripts.lab import experiments, measuring
from scripts.lab.batches import Batches
from scripts.lab.folders import RESULTS, ROOT
from scripts.lab.measuring import Evaluator
from scripts.lab.options import OneLineParser
from scripts.lab.results_file import Job, Record, ResultsFile
from tfprune.scorers import Fisher, Magnitude, Taylor, WoodFisher
from tfprune.support.files import replacing

PROGRAM = "gradual_comparison"
OUT = RESULTS / "gradual_comparison.json"
CHECKPOINTS = ROOT / "results" / "gradual_comparison"
SPARSITIES = (0.95, 0.98)
SEEDS = (0, 1, 2)
CHECKPOINT, DENSE = "checkpoint", "dense"  # where all start, and where training alone leads


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How models are trained and pruned.

    The sparsity rises in `updates` mask updates over the first `rising_part` of the steps; the
    learning rate of Adam falls to zero on a cosine.
    """

    width: int = 16
    dense_epochs: int = 2
    epochs: int = 3
    batch_size: int = 128
    learning_rate: float = 1e-3
    updates: int = 12
    rising_part: float = 0.75
    examples: int = 512

    def optimizer(self, steps: int) -> keras.optimizers.Optimizer:
        decay = keras.optimizers.schedules.CosineDecay(self.learning_rate, steps)
        return keras.optimizers.Adam(decay)

    def schedule(self, sparsity: float, steps: int) -> tfprune.PolynomialDecay:
        end = round(self.rising_part * steps)
        return tfprune.PolynomialDecay(
            0.0, sparsity, begin_step=0, end_step=end, frequency=max(1, end // self.updates)
        )


@dataclasses.dataclass(frozen=True)
class Method:
    """A scorer with the options of `tfprune.prune`, and the seconds a run is expected to take.

    `schedule` is recipe, sparsity, steps -> schedule of the sparsity; by default the recipe's.
    """

    label: str
    scorer: Any
    options: dict[str, Any]
    seconds: float
    schedule: Callable[[Recipe, float, int], Any] = Recipe.schedule

    def describe(self) -> dict[str, Any]:
        return {"scorer": repr(self.scorer), **self.options}


GLOBAL, ERK = {"distribution": "global"}, {"distribution": "erk"}
METHODS = {
    "magnitude": Method("magnitude, global", Magnitude(), GLOBAL, 25),
    "taylor": Method("Taylor, global", Taylor(), GLOBAL, 30),
    "woodfisher": Method("WoodFisher, global", WoodFisher(scope="global"), GLOBAL, 60),
    "fisher": Method("diagonal Fisher, global", Fisher(), GLOBAL, 35),
    "magnitude_erk": Method("magnitude, ERK", Magnitude(), ERK, 25),
    "woodfisher_erk": Method("WoodFisher, ERK", WoodFisher(), ERK, 60),
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Runs jobs on one data set; dense models are kept in `folder`, one a seed."""

    methods: Mapping[str, Method]
    images: Dataset
    recipe: Recipe
    folder: Path
    accuracy: Evaluator
    results: ResultsFile

    def run(self, job: Job) -> dict[str, Any]:
        """Train on from the checkpoint of the job's seed, pruning by its method."""
        model = self.checkpoint(job.seed)
        values = {"checkpoint": digest(model), "zeros": 0.0}
        self._require_same_checkpoint(job.seed, values["checkpoint"])
        if job.method != CHECKPOINT:
            model = self._train_on(model, job)
            values["zeros"] = measuring.zeros(model)
        return {"accuracy": self.accuracy(model), **values}

    def checkpoint(self, seed: int) -> keras.Model:
        """Return the dense model of a seed, trained where there is none yet."""
        file = self.folder / f"dense-{seed}.keras"
        if file.exists():
            return keras.saving.load_model(file, compile=False)
        keras.utils.set_random_seed(seed)
        model = build(self.images, self.recipe)
        self._fit(model, self.recipe.dense_epochs, seed, [])
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(file) as new:
            model.save(new)
        return model

    def _train_on(self, model: keras.Model, job: Job) -> keras.Model:
        keras.utils.set_random_seed(job.seed)
        recipe, order = self.recipe, len(SEEDS) + job.seed  # another order than the dense training
        if job.method == DENSE:
            self._fit(model, recipe.epochs, order, [])
            return model
        method = self.methods[job.method]
        schedule = method.schedule(recipe, job.sparsity, steps_in(self.images, recipe))
        pruned = tfprune.prune(model, schedule, scorer=method.scorer, **method.options)
        # The updater draws other training images for every update, by its step: methods see the
        # same ones.
        update = tfprune.UpdatePruningStep(
            data=(self.images.x_train, self.images.y_train), loss=loss(), examples=recipe.examples
        )
        self._fit(pruned, recipe.epochs, order, [update])
        return tfprune.strip_pruning(pruned)

    def _fit(self, model: keras.Model, epochs: int, seed: int, callbacks: list[Any]) -> None:
        batches = Batches(
            self.images.x_train,
            self.images.y_train,
            batch_size=self.recipe.batch_size,
            epochs=epochs,
            seed=seed,
        )
        model.compile(self.recipe.optimizer(len(batches)), loss())
        model.fit(batches, shuffle=False, verbose=0, callbacks=callbacks)

    def _require_same_checkpoint(self, seed: int, found: str) -> None:
        for record in self.results.records:
            if record["seed"] == seed and record["checkpoint"] != found:
                raise ValueError(
                    f"{self.results.path} has runs of seed {seed} from another dense model than "
                    f"the one in {self.folder}; use another file."
                )


def build(images: Dataset, recipe: Recipe) -> keras.Model:
    return digits_cnn(images.x_train.shape[1:], images.classes, width=recipe.width)


def loss() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def steps_in(images: Dataset, recipe: Recipe) -> int:
    """Return the number of steps in which models are pruned."""
    return recipe.epochs * math.ceil(len(images.x_train) / recipe.batch_size)


def digest(model: keras.Model) -> str:
    """Return a short fingerprint of all values of a model."""
    found = hashlib.sha256()
    for array in model.get_weights():
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def plan(
    methods: Mapping[str, Method], sparsities: Sequence[float], seeds: Sequence[int]
) -> list[Job]:
    """Return all jobs: every method at every sparsity with one seed, before the next seed."""
    jobs = []
    for seed in seeds:
        jobs += [Job(CHECKPOINT, 0.0, seed, {}, 20.0), Job(DENSE, 0.0, seed, {}, 25.0)]
        for name, method in methods.items():
            jobs += [Job(name, s, seed, method.describe(), method.seconds) for s in sparsities]
    return jobs


def summarize(
    settings: dict[str, Any],
    records: list[Record],
    program: str = PROGRAM,
    methods: Mapping[str, Method] = METHODS,
) -> dict[str, Any]:
    """Return the head of the results file: the command that makes its records, and the rows."""
    pruned = [record for record in records if record["method"] in methods]
    options = {
        name: " ".join(dict.fromkeys(f"{record[key]}" for record in pruned))
        for name, key in (("methods", "method"), ("sparsities", "sparsity"), ("seeds", "seed"))
    }
    listed = " ".join(f"--{name} {values}" for name, values in options.items())
    return {
        "command": f"python -m scripts.studies.{program} {listed}",
        "versions": settings["versions"],
        "labels": {name: method.label for name, method in methods.items()},
        "rows": experiments.aggregate(records, ["accuracy"]),
    }


def parse(
    arguments: Sequence[str],
    program: str = PROGRAM,
    text: str = str(__doc__),
    methods: Mapping[str, Method] = METHODS,
    out: Path = OUT,
) -> argparse.Namespace:
    """Return the parsed arguments of this experiment, or of one with other methods."""
    parser = OneLineParser(prog=program, description=text.splitlines()[0], allow_abbrev=False)
    experiments.add_job_options(parser, methods, SPARSITIES, SEEDS, out)
    parser.add_argument(
        "--checkpoints",
        type=Path,
        default=CHECKPOINTS,
        metavar="DIR",
        help="folder for the dense models; default: results/gradual_comparison",
    )
    return parser.parse_args(arguments)


def run(
    args: argparse.Namespace,
    methods: Mapping[str, Method],
    summarize: Callable[[dict[str, Any], list[Record]], dict[str, Any]],
    recipe: Recipe,
    load: Callable[..., Dataset],
) -> None:
    """Run those of the methods that the arguments name."""
    images = load("fashion_mnist", args.data_dir)
    model = build(images, recipe)
    settings = {
        **dataclasses.asdict(recipe),
        "steps": steps_in(images, recipe),
        "weights": sum(kernel.size for kernel in measuring.kernels(model)),
        "threads": measuring.threads(),
        "versions": measuring.versions(),
    }
    results = ResultsFile(args.out, settings, lambda records: summarize(settings, records))
    accuracy = Evaluator(model, images.x_test, images.y_test)
    experiment = Experiment(methods, images, recipe, args.checkpoints, accuracy, results)
    chosen = {name: methods[name] for name in args.methods}
    experiments.run_all(plan(chosen, args.sparsities, args.seeds), results, experiment.run)


def main(
    arguments: Sequence[str],
    recipe: Recipe = Recipe(),
    load: Callable[..., Dataset] = arrays.load,
) -> int:
    args = parse(arguments)
    return experiments.exit_status(PROGRAM, lambda: run(args, METHODS, summarize, recipe, load))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
