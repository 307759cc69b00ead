"""The runs of the study: prune, train on in float32 or rounded, write the file, score both."""

import dataclasses
from pathlib import Path
from typing import Any

import keras

import tfprune
from scripts.lab import fingerprints, measuring
from scripts.lab.checkpoints import Checkpoint
from scripts.lab.folders import ROOT
from scripts.lab.results_file import Job
from scripts.studies.quantization.tasks import Task
from tfprune.targets.target import QuantizeName

_SOURCES = [Path(__file__).parent, ROOT / "tfprune" / "compression"]
_PARTS = 5  # checkpoints in a training


@dataclasses.dataclass(frozen=True)
class Method:
    """A kind of file, and what training it follows.

    Args:
        label: what tables call it.
        quantize: as `to_tflite` takes it.
        bits: of the weights in training; None trains in float32.
    """

    label: str
    quantize: QuantizeName | None
    bits: int | None = None


METHODS = {
    "float": Method("float32", None),
    "int8": Method("int8, post-training", "int8"),
    "aware-int8": Method("int8, quantization-aware", "int8", 8),
    "aware-int4": Method("4-bit weights, quantization-aware", "int4", 4),
    "int4": Method("4-bit weights, post-training", "int4"),
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A task, how long it is trained, and where unfinished trainings are kept.

    Args:
        task: what is quantized.
        pruning_steps: of gradual pruning, for sparse networks.
        steps: of training after that, in float32 or rounded.
        folder: of checkpoints and files.
        changed: what to do with a checkpoint of other code, see `Checkpoint`.
    """

    task: Task
    pruning_steps: int
    steps: int
    folder: Path
    changed: str = "refuse"

    def run(self, job: Job) -> dict[str, Any]:
        """Return what a job measured."""
        method = METHODS[job.method]
        model, spent = self._trained(job.sparsity, job.seed, method.bits)
        data = None
        if method.quantize in ("int8", "int4") and method.bits is None:
            data = self.task.examples(job.seed)
        path = self.folder / "files" / f"{job.method}-{job.sparsity:g}-{job.seed}.tflite"
        path.parent.mkdir(parents=True, exist_ok=True)
        report = tfprune.export.to_tflite(
            model, path, quantize=method.quantize, representative_data=data, sparse=False
        )
        plain = tfprune.strip_pruning(model) if method.bits else model
        return {
            "keras": self.task.score(model),
            "file": self.task.score_of_file(path),
            "zeros": round(measuring.zeros(plain), 6),
            "bytes": report.bytes,
            "gzip_bytes": report.gzip_bytes,
            **spent,
        }

    def _trained(
        self, sparsity: float, seed: int, bits: int | None
    ) -> tuple[keras.Model, dict[str, Any]]:
        """Return the network after its training, and what that took."""
        model = self._pruned(sparsity, seed)
        if bits is None:
            model = tfprune.prune(model, tfprune.OneShot(sparsity)) if sparsity else model
        else:
            model = tfprune.quantize_aware(model, activations=True, bits=bits)
        name = f"{'float' if bits is None else f'aware{bits}'}-{sparsity:g}-{seed}"
        callbacks = [tfprune.UpdatePruningStep()] if sparsity and bits is None else []
        spent = self._train(model, name, self.steps, seed + 1000, callbacks)
        return (tfprune.strip_pruning(model) if callbacks else model), spent

    def _pruned(self, sparsity: float, seed: int) -> keras.Model:
        """Return the network with zeros, by magnitude, from its last checkpoint."""
        model = self.task.network()
        if not sparsity:
            return model
        end = round(0.7 * self.pruning_steps)
        schedule = tfprune.PolynomialDecay(0.0, sparsity, begin_step=0, end_step=end, frequency=10)
        pruned = tfprune.prune(model, schedule)
        callbacks = [tfprune.UpdatePruningStep()]
        self._train(pruned, f"pruned-{sparsity:g}-{seed}", self.pruning_steps, seed, callbacks)
        return tfprune.strip_pruning(pruned)

    def _train(
        self,
        model: keras.Model,
        name: str,
        steps: int,
        seed: int,
        callbacks: list[keras.callbacks.Callback],
    ) -> dict[str, Any]:
        """Train a model for so many steps, from its last checkpoint; return what that took."""
        task, options = self.task, dict(self.task.optimizer)
        schedule = keras.optimizers.schedules.CosineDecay(options.pop("learning_rate"), steps)
        keras.utils.set_random_seed(seed)
        optimizer = keras.optimizers.SGD(
            schedule, momentum=0.9, nesterov=True, clipnorm=5.0, **options
        )
        model.compile(optimizer, task.loss(), jit_compile=False)
        code = {"code": fingerprints.of_code(_SOURCES)}
        settings = {"name": name, "steps": steps}
        file = self.folder / f"{name}.npz"
        file.parent.mkdir(parents=True, exist_ok=True)
        checkpoint = Checkpoint(file, settings, code, changed=self.changed)
        done, part = checkpoint.restore(model), steps // _PARTS
        if done < steps:
            model.fit(
                task.batches(seed, done),
                epochs=_PARTS,
                initial_epoch=done // part,
                steps_per_epoch=part,
                shuffle=False,
                verbose=0,
                callbacks=[*callbacks, checkpoint],
            )
        return checkpoint.spent()
