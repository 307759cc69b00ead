"""The runs of the study of channels: what is removed at once, and what training brings back."""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfprune
from models import Dataset, training_batches
from models.images import pretrained
from models.images.batches import crop_and_flip
from models.images.resnet import normalize
from scripts.lab import fingerprints, many_steps, measuring
from scripts.lab.checkpoints import Checkpoint
from scripts.lab.folders import ROOT
from scripts.lab.quick_copies import bring_back, quick_copy
from scripts.lab.results_file import Job
from scripts.studies.structured.known_outputs import with_known_teacher
from scripts.studies.structured.presets import CHOICES, DENSE, Preset
from tfprune import channels
from tfprune.channels.coupling.ledger import Settled
from tfprune.channels.coupling.reading import Reading, read
from tfprune.channels.kept import Costs
from tfprune.support.files import replacing

_EVALUATED = 500  # images a batch
_SOURCES = [Path(__file__).parent, ROOT / "models" / "images", ROOT / "tfprune" / "channels"]
_WARM_UP = 0.05  # share of a training in which the learning rate rises


@dataclasses.dataclass(frozen=True)
class Known:
    """Scores of an earlier plan, so that other budgets and runs need not compute them again.

    Args:
        scores: by root; of roots beyond its end nothing is known.
    """

    scores: np.ndarray

    @classmethod
    def of(cls, plan: channels.ChannelPlan) -> "Known":
        """Return the scores of a plan."""
        roots = np.concatenate([part.group.channels for part in plan.groups])
        scores = np.full(roots.max() + 1, np.nan)
        scores[roots] = np.concatenate([part.scores for part in plan.groups])
        return cls(scores)

    def of_channels(self, reading: Reading, settled: Settled) -> np.ndarray:
        """Return root -> score."""
        found = np.full(settled.roots.size, np.nan)
        found[: self.scores.size] = self.scores
        return found


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A network, its images, and where unfinished trainings are kept.

    Args:
        preset: what is trained, and how.
        images: that train and that test.
        weights: file of the dense network's weights; None trains it.
        folder: of checkpoints.
        changed: what to do with a checkpoint of other code, see `Checkpoint`.
        quick: how what follows a removal is trained, see `quick_copy`: in "mixed" precision or with
            "fused" batch normalization alone; None: as it is.
    """

    preset: Preset
    images: Dataset
    weights: Path | None
    folder: Path
    changed: str = "refuse"
    quick: str | None = None
    _kept: dict[Any, Any] = dataclasses.field(default_factory=dict)

    def run(self, job: Job) -> dict[str, Any]:
        """Return what a job measured, and where it ran."""
        found = {"trained_on": [measuring.where()], **self._measured(job)}
        mixed = ", in mixed precision" * (self._mixed and "distilled" in job.options)
        return {**found, "on": ", then ".join(found.pop("trained_on")) + mixed}

    def _measured(self, job: Job) -> dict[str, Any]:
        if job.method == DENSE:
            model, spent = self._dense()
            return {"accuracy": self._accuracy(model), **self._size(model), **spent}
        if "epochs" in job.options:
            return self._recovered(job)
        model = self._cut(job)
        before = self._accuracy(model)
        tfprune.refresh_batch_norm(model, self._examples(job.seed, 1000)[0])
        found = {"accuracy_before": before, "accuracy_after": self._accuracy(model)}
        return found | self._size(model)

    def _recovered(self, job: Job) -> dict[str, Any]:
        """Train what is left of the network, from its last checkpoint."""
        student = self._cut(job)
        learner = self._quick(student)
        model = learner
        if job.options["distilled"]:
            pupil, teacher = with_known_teacher(learner)
            model = tfprune.distill(pupil, teacher, temperature=4.0, alpha=0.7)
        spent = self._train(model, job, job.options["epochs"], job.options["learning_rate"])
        if learner is not student:
            bring_back(learner, student)
        return {"accuracy": self._accuracy(student), **self._size(student), **spent}

    @property
    def _mixed(self) -> bool:
        return self.quick == "mixed"

    def _quick(self, model: keras.Model) -> keras.Model:
        return quick_copy(model, mixed=self._mixed) if self.quick else model

    def _dense(self) -> tuple[keras.Model, dict[str, Any]]:
        """Return the dense network, and what its training took."""
        if DENSE not in self._kept:
            keras.utils.set_random_seed(0)
            model, spent = self.preset.build(classes=self.images.classes), {}
            if self.weights is not None:
                model = pretrained.load(self.weights, "the network", lambda arrays: model)
            else:
                job = Job(DENSE, 0.0, 0, self.preset.describe())
                epochs, rate = self.preset.dense_epochs, self.preset.dense_rate
                spent = self._train(model, job, epochs, rate)
            self._kept[DENSE] = model, spent
        return self._kept[DENSE]

    def _cut(self, job: Job) -> keras.Model:
        """Return the network without the channels that the job's choice finds least needed."""
        model = self._dense()[0]
        name = job.options["choice"]
        key, choice = (name, job.seed), CHOICES[name]
        options = {"macs": 1 - job.sparsity, **choice.options()}
        file = self.folder / f"{self.images.name}-scores-{name}-{job.seed}-{self._of_dense()}.npy"
        if key not in self._kept and file.exists():
            self._kept[key] = Known(np.load(file))
        if key in self._kept:
            plan = channels.plan(model, scorer=self._kept[key], **options)
        else:
            if choice.examples:
                options |= {"data": self._examples(job.seed, choice.examples), "loss": _loss()}
            plan = channels.plan(model, scorer=choice.scorer(job.seed), seed=job.seed, **options)
            self._kept[key] = Known.of(plan)
            if choice.examples:
                _saved(file, self._kept[key].scores)
        return channels.prune(model, plan)

    def _train(self, model: keras.Model, job: Job, epochs: int, rate: float) -> dict[str, Any]:
        """Train a model for so many epochs, from its last checkpoint; return what that took."""
        steps = len(self.images.x_train) // job.options["batch_size"]
        part = max(n for n in range(1, min(self.preset.part, steps) + 1) if steps % n == 0)
        keras.utils.set_random_seed(job.seed)
        optimizer = _optimizer(rate, epochs * steps)
        # XLA is slower than TensorFlow on a CPU, and all that JAX has.
        model.compile(optimizer, _loss(), jit_compile=keras.backend.backend() != "tensorflow")
        file = self.folder / f"{self.images.name}-{job.method}-{job.sparsity:g}-{job.seed}.npz"
        settings = {**job.key, **job.options, "steps": epochs * steps}
        checkpoint = Checkpoint(file, settings, self._made_by(), changed=self.changed)
        done = checkpoint.restore(model)
        if done < epochs * steps:
            many_steps.fit(
                model,
                self._batches(job, done // steps, epochs, first_step=done % steps),
                epochs=epochs * steps // part,
                initial_epoch=done // part,
                steps_per_epoch=part,
                callbacks=[checkpoint],
            )
        return checkpoint.spent()

    def _batches(
        self, job: Job, first_epoch: int, epochs: int, first_step: int = 0
    ) -> Iterator[tuple[Any, np.ndarray]]:
        """Return what a training sees from a step of an epoch on: images and labels.

        With a teacher, what it makes of the images stands beside them.
        """
        size, x, y = job.options["batch_size"], self.images.x_train, self.images.y_train

        def of(first: int, end: int, step: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            options = {"first_epoch": first, "epochs": end, "first_step": step, "seed": job.seed}
            given = training_batches(x, y, size, **options, crop=4, flip=True)
            return ((normalize(images), labels) for images, labels in given)

        batches = of(first_epoch, epochs, first_step)
        if not job.options.get("distilled"):
            return batches
        known = [
            self._taught(f"{job.seed}-{epoch}-{size}", of(epoch, epoch + 1))
            for epoch in range(first_epoch, epochs)
        ]
        taught = itertools.islice(itertools.chain.from_iterable(known), first_step, None)
        return (((images, outputs), labels) for (images, labels), outputs in zip(batches, taught))

    def _taught(self, name: str, batches: Iterator[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Return what the dense network makes of batches, from its file if there is one."""
        precision = "mixed-" * self._mixed
        file = self.folder / f"{self.images.name}-taught-{precision}{name}-{self._of_dense()}.npy"
        if file.exists():
            return np.load(file)
        if "teacher" not in self._kept:
            self._kept["teacher"] = self._quick(self._dense()[0])
        teacher = self._kept["teacher"]
        outputs = [teacher.predict_on_batch(images) for images, _ in batches]
        return _saved(file, np.stack(outputs))

    def _made_by(self) -> dict[str, str]:
        if "made_by" not in self._kept:
            data = fingerprints.of_data(self.images.x_test, self.images.y_train)
            self._kept["made_by"] = {"code": fingerprints.of_code(_SOURCES), "data": data}
        return self._kept["made_by"]

    def _of_dense(self) -> str:
        """Return what tells files that follow from the dense network and the code from others."""
        if "of_dense" not in self._kept:
            weights = fingerprints.of_data(*self._dense()[0].get_weights())
            self._kept["of_dense"] = f"{weights}-{self._made_by()['code']}"
        return self._kept["of_dense"]

    def _examples(self, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return training images, cropped and flipped, and their labels."""
        x, y = self.images.x_train, self.images.y_train
        chosen = np.random.default_rng(seed).choice(len(x), min(number, len(x)), replace=False)
        return normalize(crop_and_flip(x[chosen], seed)), y[chosen]

    def _accuracy(self, model: keras.Model) -> float:
        x = normalize(self.images.x_test)
        scores = model.predict(x, batch_size=_EVALUATED, verbose=0)
        return float(np.mean(scores.argmax(-1) == self.images.y_test))

    def _size(self, model: keras.Model) -> dict[str, int]:
        reading = read(model)
        cost = Costs(reading, reading.book.ledger.settle()).of(np.zeros(0, int))
        return dataclasses.asdict(cost)


def _saved(file: Path, array: np.ndarray) -> np.ndarray:
    """Write an array in the folder of checkpoints, and return it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file, name="--checkpoints") as new, open(new, "wb") as opened:
        np.save(opened, array)
    return array


def _optimizer(learning_rate: float, steps: int) -> keras.optimizers.Optimizer:
    warm = max(1, round(_WARM_UP * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm), warmup_target=learning_rate, warmup_steps=warm
    )
    # With this momentum, 1e-4 in the gradient, as the given weights were trained.
    return keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=1e-3)


def _loss() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
