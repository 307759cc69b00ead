"""MobileNetV1 with ImageNet weights loses channels and learns its own outputs back, without labels.

    python -m scripts.studies.mobilenet_channels

Down to 0.75 of the multiply-adds, the same share of every layer. 200 of the images, of which no
label is read, are all that the network has: scores by gradients take the original's own first
choices for labels, batch normalization is estimated again on them, and the smaller network is
trained to give what the original gives for them, moved and mirrored (`tfprune.distill` with alpha
1), with what some layers make besides in another run. The other images measure: how often the first
choice is the original's, and how often it is right. A run that was stopped goes on from its last
checkpoint.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfprune
from models import load_imagenet_sample, load_mobilenet, training_batches
from scripts.lab import experiments, measuring
from scripts.lab.checkpoints import Checkpoint
from scripts.lab.folders import RESULTS, ROOT
from scripts.lab.options import OneLineParser, add_seeds
from scripts.lab.results_file import Job, Record, ResultsFile
from scripts.studies.mobilenet_imagenet import DATA
from tfprune import channels
from tfprune.scorers import Magnitude, Taylor

PROGRAM = "mobilenet_channels"
OUT = RESULTS / f"{PROGRAM}.json"
CHECKPOINTS = ROOT / "results" / PROGRAM
CALIBRATION = 200
MACS, SCOPE = 0.75, "layer"
DENSE, CUT, DISTILLED, HINTED = "dense", "cut", "distilled", "hinted"
CHOICES = {"l1": ("L1 norm", Magnitude()), "taylor": ("Taylor on gates", Taylor(on="gates"))}
HINTS = tuple((name, name) for name in ("conv_pw_5_relu", "conv_pw_11_relu", "conv_pw_13_relu"))
TRAINING = {"epochs": 8, "batch_size": 25, "learning_rate": 3e-4, "temperature": 2.0}
MEASURES = ("agreement", "top1")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The network and all images.

    Args:
        model: plain classifier that returns probabilities.
        x, y: images as the model takes them, and labels.
        folder: of checkpoints.
    """

    model: keras.Model
    x: np.ndarray
    y: np.ndarray
    folder: Path
    _first: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def split(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices that calibrate and those that measure."""
        order = np.random.default_rng(seed).permutation(len(self.x))
        return order[:CALIBRATION], np.sort(order[CALIBRATION:])

    def run(self, job: Job) -> dict[str, Any]:
        """Return what a job measured."""
        chosen, test = self.split(job.seed)
        if job.method == DENSE:
            return self._measured(self.model, test)
        small, spent = self._cut(job, chosen), {}
        found = {}
        if job.options["recovery"] == CUT:
            before = self._measured(small, test)
            found = {f"{name}_before_refresh": value for name, value in before.items()}
        else:
            spent = self._recover(small, job, chosen)
        tfprune.refresh_batch_norm(small, self.x[chosen], batch_size=50)
        return self._measured(small, test) | found | spent

    def _cut(self, job: Job, chosen: np.ndarray) -> keras.Model:
        _, scorer = CHOICES[job.options["choice"]]
        plan = channels.plan(
            self.model,
            macs=1 - job.sparsity,
            scorer=scorer,
            scope=SCOPE,
            data=(self.x[chosen], self._own_choices()[chosen]),
            loss=keras.losses.SparseCategoricalCrossentropy(),
            seed=job.seed,
        )
        return channels.prune(self.model, plan)

    def _recover(self, small: keras.Model, job: Job, chosen: np.ndarray) -> dict[str, Any]:
        """Train the smaller network on the outputs of the original."""
        options = job.options
        epochs, size = options["epochs"], options["batch_size"]
        keras.utils.set_random_seed(job.seed)
        hints = HINTS if options["recovery"] == HINTED else ()
        model = tfprune.distill(
            small, self.model, temperature=options["temperature"], alpha=1.0, hints=hints
        )
        steps = len(chosen) // size
        rate = keras.optimizers.schedules.CosineDecay(options["learning_rate"], epochs * steps)
        loss = keras.losses.SparseCategoricalCrossentropy()
        model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
        settings = {**job.key, **job.options}
        file = self.folder / f"{job.method}-{job.sparsity:g}-{job.seed}.npz"
        checkpoint = Checkpoint(file, settings, changed="go-on")
        done = checkpoint.restore(model) // steps
        if done < epochs:
            batches = training_batches(
                self.x[chosen],
                self._own_choices()[chosen],
                size,
                epochs=epochs,
                first_epoch=done,
                crop=self.x.shape[1] // 14,
                flip=True,
                seed=job.seed,
            )
            model.fit(
                batches,
                epochs=epochs,
                initial_epoch=done,
                steps_per_epoch=steps,
                shuffle=False,
                verbose=0,
                callbacks=[checkpoint],
            )
        return checkpoint.spent()

    def _own_choices(self) -> np.ndarray:
        """Return the original's first choice for every image."""
        if "all" not in self._first:
            self._first["all"] = self._choices(self.model, self.x)
        return self._first["all"]

    def _choices(self, model: keras.Model, x: np.ndarray) -> np.ndarray:
        return model.predict(x, batch_size=50, verbose=0).argmax(-1)

    def _measured(self, model: keras.Model, test: np.ndarray) -> dict[str, float]:
        found = self._choices(model, self.x[test])
        own = self._own_choices()[test]
        return {
            "agreement": float(np.mean(found == own)),
            "top1": float(np.mean(found == self.y[test])),
        }


def plan(seeds: Sequence[int]) -> list[Job]:
    """Return all jobs of each seed: the original, both cuts, then the recoveries."""
    jobs = []
    for seed in seeds:
        jobs.append(Job(DENSE, 0.0, seed, {}, 60))
        for recovery in (CUT, DISTILLED, HINTED):
            for name, (_, scorer) in reversed(CHOICES.items()):
                options = {"choice": name, "scorer": repr(scorer), "scope": SCOPE}
                options["recovery"] = recovery
                if recovery != CUT:
                    options |= TRAINING
                seconds = 120 if recovery == CUT else 400
                jobs.append(Job(f"{name}-{recovery}", 1 - MACS, seed, options, seconds))
    return jobs


def summarize(settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file."""
    cuts = [record for record in records if record["method"].endswith(CUT)]
    before = tuple(f"{name}_before_refresh" for name in MEASURES)
    return {
        "command": "python -m scripts.studies.mobilenet_channels",
        "versions": settings["versions"],
        "labels": {name: label for name, (label, _) in CHOICES.items()},
        "rows": experiments.aggregate(records, MEASURES),
        "cuts": experiments.aggregate(cuts, before),
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    add_seeds(parser, [0], "of the choice of images; ")
    for option, default, text in (
        ("weights", DATA / "mobilenet_v1_075_224_imagenet.npz", "see models.load_mobilenet"),
        ("images", DATA / "imagenet_sample_1000_224_q90.zip", "see models.load_imagenet_sample"),
        ("checkpoints", CHECKPOINTS, "folder for the models in training"),
        ("out", OUT, "JSON file to write or go on with"),
    ):
        parser.add_argument(
            f"--{option}",
            type=Path,
            default=default,
            metavar="PATH",
            help=f"{text}; default: {default.name} in {default.parent.name}",
        )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str], load: Callable[..., keras.Model] = load_mobilenet) -> int:
    args = parse(arguments)
    settings = {
        "weights": args.weights.name,
        "images": args.images.name,
        "calibration": CALIBRATION,
        "threads": measuring.threads(),
        "versions": measuring.versions(),
    }

    def work() -> None:
        results = ResultsFile(args.out, settings, lambda records: summarize(settings, records))
        x, y = load_imagenet_sample(args.images)
        experiment = Experiment(load(args.weights), x, y, args.checkpoints)
        experiments.run_all(plan(args.seeds), results, experiment.run)

    return experiments.exit_status(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
