"""A small AlexNet on CIFAR-10: its layers in factors, at once and after a few epochs more."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfprune
from models import Dataset, training_batches
from models.images.classic import alexnet
from scripts.lab.checkpoints import Checkpoint
from scripts.lab.results_file import Job

DENSE, LONGER = "dense", "dense-longer"
KINDS = ("spatial", "channel", "tucker")
MACS, ROUND_TO = 0.5, 8
BATCH = 128
CALIBRATION = 500  # images
TRAINING = {"epochs": 12, "learning_rate": 1e-3}
MORE = {"epochs": 6, "learning_rate": 3e-4}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The network and its images.

    Attributes:
        images: that train and that test.
        folder: of checkpoints.
    """

    images: Dataset
    folder: Path
    _kept: dict[str, Any] = dataclasses.field(default_factory=dict)

    def run(self, job: Job) -> dict[str, Any]:
        """Return what a job measured."""
        dense, spent = self._dense()
        if job.method == DENSE:
            return {"accuracy": self._accuracy(dense), "parameters": _trained(dense), **spent}
        if job.method == LONGER:
            copy = keras.models.clone_model(dense)
            copy.set_weights(dense.get_weights())
            spent = self._train(copy, job)
            return {"accuracy": self._accuracy(copy), **spent}
        options = job.options
        small, told = tfprune.factorize(
            dense,
            macs=options["macs"],
            convolutions=options["convolutions"],
            round_to=options["round_to"],
            data=self.images.x_train[:CALIBRATION] if options["data"] else None,
        )
        found = {"accuracy_at_once": self._accuracy(small), "parameters": _trained(small)}
        found |= {"macs": told.macs, "macs_before": told.before.multiply_adds}
        if "epochs" in options:
            found |= self._train(small, job)
            found["accuracy"] = self._accuracy(small)
            found |= _latency(dense, small)
        return found

    def _dense(self) -> tuple[keras.Model, dict[str, Any]]:
        if DENSE not in self._kept:
            keras.utils.set_random_seed(0)
            shape = self.images.x_train.shape[1:]
            model = alexnet(shape, self.images.classes, width=0.25, groups=1, dropout=0.2)
            self._kept[DENSE] = model, self._train(model, Job(DENSE, 0.0, 0, TRAINING))
        return self._kept[DENSE]

    def _train(self, model: keras.Model, job: Job) -> dict[str, Any]:
        """Train a model from its last checkpoint; return what that took."""
        x, y = self.images.x_train, self.images.y_train
        epochs, steps = job.options["epochs"], len(x) // BATCH
        rate = keras.optimizers.schedules.CosineDecay(job.options["learning_rate"], epochs * steps)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        keras.utils.set_random_seed(job.seed)
        # XLA is slower than TensorFlow for convolutions on a CPU.
        model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
        file = self.folder / f"alexnet-{job.method}-{job.sparsity:g}-{job.seed}.npz"
        checkpoint = Checkpoint(file, {**job.key, **job.options}, changed="go-on")
        done = checkpoint.restore(model) // steps
        if done < epochs:
            batches = training_batches(
                x, y, BATCH, epochs=epochs, first_epoch=done, crop=4, flip=True, seed=job.seed
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

    def _accuracy(self, model: keras.Model) -> float:
        logits = model.predict(self.images.x_test, batch_size=500, verbose=0)
        return float(np.mean(logits.argmax(-1) == self.images.y_test))


def plan() -> list[Job]:
    """Return all jobs: the dense network, factors at once, then the spatial ones trained on."""
    jobs = [Job(DENSE, 0.0, 0, TRAINING, 1500)]
    for kind in KINDS:
        for data in (False, True):
            options = _options(kind, data)
            jobs.append(Job(f"{kind}-{'data' if data else 'weights'}", 0.0, 0, options, 60))
    options = {**_options("spatial", True), **MORE}
    return [*jobs, Job("spatial-trained", 0.0, 0, options, 400), Job(LONGER, 0.0, 0, MORE, 500)]


def _options(kind: str, data: bool) -> dict[str, Any]:
    return {"convolutions": kind, "data": data, "macs": MACS, "round_to": ROUND_TO}


def _trained(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def _latency(dense: keras.Model, small: keras.Model) -> dict[str, Any]:
    """Return the milliseconds of one image in LiteRT on one thread, timed in turns."""
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, model in (("dense", dense), ("small", small)):
            files[name] = f"{folder}/{name}.tflite"
            tfprune.export.to_tflite(model, files[name])
        before, after = tfprune.export.benchmark(files, threads=1, runs=200)
    return {
        "ms_dense": before.median_ms,
        "ms": after.median_ms,
        "speed_up": after.ratio,
        "speed_up_low": after.ratio_low,
        "bytes_dense": before.bytes,
        "bytes": after.bytes,
    }
