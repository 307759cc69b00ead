"""The small LSTM language model on Penn Treebank: embedding and output layer in factors."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfprune
from models.data import text
from models.language.lstm import PRESETS, lstm_language_model
from models.language.training import ResetStates, WordCrossEntropy, zaremba_learning_rate
from scripts.comparison.language.language_models import perplexity
from scripts.lab.checkpoints import Checkpoint, load_weights
from scripts.lab.results_file import Job

DENSE, LONGER = "dense", "dense-longer"
RANK = 64
SMALL = PRESETS["small"]
CALIBRATION = 400  # sequences
TRAINING = {
    "passes": SMALL.epochs,
    "rate": 1.0,
    "constant_passes": SMALL.constant_epochs,
    "decay": SMALL.decay,
}
MORE = {"passes": 6, "rate": 0.25, "constant_passes": 1, "decay": 2.0}  # as in its recipe
TAUGHT = {**MORE, "alpha": 0.9, "temperature": 1.0}  # by the model before it was factorized
FACTORIZED = ("embedding", "logits")
JIT = True  # XLA saves a third on a CPU


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The model and its text.

    Attributes:
        texts: by split.
        folder: of checkpoints.
        weights: checkpoint of the comparison's dense model of width 200; None trains it.
    """

    texts: dict[str, text.Text]
    folder: Path
    weights: Path | None = None
    _kept: dict[str, Any] = dataclasses.field(default_factory=dict)

    def run(self, job: Job) -> dict[str, Any]:
        """Return what a job measured."""
        dense, spent = self._dense()
        if job.method == DENSE:
            return {**self._perplexities(dense), "parameters": _size(dense), **spent}
        if job.method == LONGER:
            copy = self._built()
            copy.set_weights(dense.get_weights())
            spent = self._train(copy, job)
            return {**self._perplexities(copy), **spent}
        batches = self._batches("train").take(CALIBRATION // SMALL.batch_size)
        small, _ = tfprune.factorize(
            dense,
            rank=job.options["rank"],
            rules=[("lstm_.*", None)],
            data=[*batches.as_numpy_iterator()] if job.options["data"] else None,
            examples=CALIBRATION,
        )
        spent = {}
        if "alpha" in job.options:
            teaching = {name: job.options[name] for name in ("alpha", "temperature")}
            learner = tfprune.distill(small, dense, **teaching, compare="classes")
            spent = self._train(learner, job, small, dense)
        elif "passes" in job.options:
            spent = self._train(small, job)
        return {**self._perplexities(small), "parameters": _size(small), **spent}

    def _dense(self) -> tuple[keras.Model, dict[str, Any]]:
        if DENSE not in self._kept:
            keras.utils.set_random_seed(0)
            model, spent = self._built(), {}
            if self.weights is None:
                spent = self._train(model, Job(DENSE, 0.0, 0, TRAINING))
            else:
                load_weights(model, self.weights)
            self._kept[DENSE] = model, spent
        return self._kept[DENSE]

    def _built(self) -> keras.Model:
        return lstm_language_model(
            SMALL.units,
            vocabulary=len(self.texts["train"].vocabulary),
            steps=SMALL.steps,
            batch_size=SMALL.batch_size,
        )

    def _batches(self, split: str) -> Any:
        return text.streams(self.texts[split].tokens, SMALL.batch_size, SMALL.steps)

    def _train(self, model: keras.Model, job: Job, *stateful: keras.Model) -> dict[str, Any]:
        """Train a model from its last checkpoint; return what that took.

        Args:
            model: to train.
            job: passes and learning rates.
            stateful: models that begin every pass with states of zero; by default the one to train.
        """
        batches, options = self._batches("train"), job.options
        steps = int(batches.cardinality())
        rate = zaremba_learning_rate(
            steps,
            rate=options["rate"] * SMALL.steps,  # the paper's loss is summed over the steps
            constant_epochs=options["constant_passes"],
            decay=options["decay"],
        )
        optimizer = keras.optimizers.SGD(rate, global_clipnorm=SMALL.clip / SMALL.steps)
        model.compile(optimizer, WordCrossEntropy(), jit_compile=JIT)
        file = self.folder / f"ptb-{job.method}-{job.sparsity:g}-{job.seed}.npz"
        checkpoint = Checkpoint(file, {**job.key, **options}, changed="go-on")
        done = checkpoint.restore(model) // steps
        if done < options["passes"]:
            model.fit(
                batches,
                epochs=options["passes"],
                initial_epoch=done,
                shuffle=False,
                verbose=0,
                callbacks=[ResetStates(*stateful), checkpoint],
            )
        return checkpoint.spent()

    def _perplexities(self, model: keras.Model) -> dict[str, float]:
        found = {"perplexity": "test", "valid_perplexity": "valid"}
        return {k: perplexity(model, self.texts[split].tokens) for k, split in found.items()}


def plan() -> list[Job]:
    """Return all jobs: the dense model, factors at once, trained on, taught, and the control."""
    at_once = [
        Job(f"svd-{'data' if data else 'weights'}", 0.0, 0, {"rank": RANK, "data": data}, 120)
        for data in (False, True)
    ]
    trained = [
        Job(f"svd-{way}", 0.0, 0, {"rank": RANK, "data": True, **options}, seconds)
        for way, options, seconds in (("trained", MORE, 700), ("taught", TAUGHT, 1100))
    ]
    return [
        Job(DENSE, 0.0, 0, TRAINING, 2200),
        *at_once,
        *trained,
        Job(LONGER, 0.0, 0, MORE, 450),
    ]


def _size(model: keras.Model) -> int:
    """Return the parameters of embedding and output layer, their factors included."""
    layers = [layer for layer in model.layers if layer.name.startswith(FACTORIZED)]
    return sum(int(np.prod(w.shape)) for layer in layers for w in layer.weights)
