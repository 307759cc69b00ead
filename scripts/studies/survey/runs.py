"""The runs of the comparison: train what a recipe asks for, write its file, measure it."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfprune
from scripts.lab import fingerprints
from scripts.lab.checkpoints import Checkpoint
from scripts.lab.folders import ROOT
from scripts.lab.results_file import Job
from scripts.studies.quantization.tasks import Task, run
from scripts.studies.survey.networks import Network, Strength
from scripts.studies.survey.recipes import CODED, RECIPES, lines_of
from tfprune.export.run import micro, wasm
from tfprune.support.files import replacing

DENSE = "dense"
_SOURCES = [Path(__file__).parent, ROOT / "tfprune" / "compression", ROOT / "tfprune" / "pruning"]
_LONG = 1000  # steps from which on a training keeps checkpoints
_PART = 195  # steps between them, at most
_CHECKED = {"native": 300, "microcontroller": 50}  # examples that files are run on
_CALIBRATION = 128


class Trainer:
    """Compiles and fits models for the steps of a recipe; keeps how good the first one was.

    Args:
        task: what is trained on.
        network: its optimizer and learning rate.
        strength: of the method: steps and learning rate, where they differ.
        seed: of the batches.
        file: of a checkpoint; each training of the recipe adds its number.
        changed: what to do with a checkpoint of other code, see `Checkpoint`.
    """

    def __init__(
        self,
        task: Task,
        network: Network,
        strength: Strength,
        seed: int,
        file: Path,
        changed: str,
    ):
        self.before: float | None = None
        self.steps = 0  # made by this recipe, of training
        self._task, self._network, self._strength = task, network, strength
        self._seed, self._file, self._changed = seed, file, changed
        self._number = 0

    def __call__(
        self, model: keras.Model, *callbacks: keras.callbacks.Callback, share: float = 1.0
    ) -> None:
        """Train a model for a share of the steps."""
        if self.before is None:
            self.before = self._task.score(model)
        steps = max(1, round(share * (self._strength.steps or self._network.steps)))
        keras.utils.set_random_seed(self._seed + 1000 * self._number)
        parts = max(1, steps // _PART) if steps >= _LONG else 1
        steps = parts * (steps // parts)
        self._number += 1
        model.compile(self._optimizer(steps), self._task.loss(), jit_compile=False)
        path = self._file.with_name(f"{self._file.name}-{self._number}.npz")
        settings = {"name": path.stem, "steps": steps, **self._strength.options}
        checkpoint = Checkpoint(
            path if steps >= _LONG else None,
            {key: str(value) for key, value in settings.items()},
            {"code": fingerprints.of_code(_SOURCES)},
            changed=self._changed,
        )
        done = checkpoint.restore(model)
        if done < steps:
            model.fit(
                self._task.batches(self._seed, self.steps + done),
                epochs=parts,
                initial_epoch=done // (steps // parts),
                steps_per_epoch=steps // parts,
                shuffle=False,
                verbose=0,
                callbacks=[*callbacks, checkpoint],
            )
        self.steps += steps

    def _optimizer(self, steps: int) -> keras.optimizers.Optimizer:
        rate = self._strength.rate or self._network.rate
        if isinstance(rate, tuple):
            rate = rate[self._number - 1]
        schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
        if self._network.optimizer == "adam":
            return keras.optimizers.Adam(schedule)
        decay = 1e-3 if self._task.measure == "accuracy" else None
        return keras.optimizers.SGD(
            schedule, momentum=0.9, nesterov=True, clipnorm=5.0, weight_decay=decay
        )


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A network with its data, and where its models and files are kept.

    Args:
        name: of the network.
        network: what is done to it.
        task: what it is trained on.
        folder: of the dense models, checkpoints and files.
        changed: what to do with a checkpoint of other code, see `Checkpoint`.
        runs: timed turns of each file.
    """

    name: str
    network: Network
    task: Task
    folder: Path
    changed: str = "refuse"
    runs: int = 40

    def run(self, recipe: str, strength: Strength, job: Job) -> dict[str, Any]:
        """Return what a recipe gave: sizes, latencies and how good it is, before and after."""
        model = self._dense(job.seed)
        stem = f"{self.name}-{recipe}-{job.seed}"
        train = self._trainer(strength, job.seed, stem)
        path = self._file(stem)
        made, written = RECIPES[recipe][1](
            model, train, str(path), **self._given(strength, job.seed)
        )
        wrapped = any(isinstance(layer, tfprune.PrunedLayer) for layer in made.layers)
        plain = tfprune.strip_pruning(made) if wrapped else made
        told = tfprune.report(plain, verbose=False).parameters
        found = {
            "before": self._before(model, strength, train),
            "after": self.task.score(made),
            "nonzeros": told.nonzeros,
            "parameters": told.size,
            "bytes": written.bytes,
            "gzip_bytes": written.gzip_bytes,
            "agreement": self._agreement(made, path, job.seed),
            "trained_steps": train.steps,
            "lines": lines_of(RECIPES[recipe][1]),
            **self._latencies(job.seed, path),
        }
        if recipe in CODED and self.network.coded and micro.is_installed():
            found |= self._coded(plain, stem, job.seed)
        return found

    def _dense(self, seed: int) -> keras.Model:
        """Return the dense network, which is trained where no weights are given, and its file."""
        path = self.folder / f"{self.name}-{DENSE}-{seed}.keras"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            keras.utils.set_random_seed(seed)
            model = self.task.network()
            if self.network.dense_steps:
                longer = Strength(steps=self.network.dense_steps)
                self._trainer(longer, seed, f"{self.name}-{DENSE}-{seed}")(model)
            tfprune.export.to_tflite(model, self._file(path.stem))
            with replacing(str(path)) as temporary:
                model.save(temporary)
        return keras.saving.load_model(path, compile=False)

    def _trainer(self, strength: Strength, seed: int, stem: str) -> Trainer:
        place = self.folder / stem
        return Trainer(self.task, self.network, strength, seed, place, self.changed)

    def _file(self, stem: str) -> Path:
        path = self.folder / "files" / f"{stem}.tflite"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _given(self, strength: Strength, seed: int) -> dict[str, Any]:
        """The options of a recipe; what they stand for in place of names."""
        given = dict(strength.options)
        if given.get("examples"):
            given["examples"] = self._examples(seed, given["examples"])
        if "small" in given:
            given["small"] = self.network.small
        return given

    def _examples(self, seed: int, count: int) -> np.ndarray:
        found: list[np.ndarray] = []
        for inputs, _ in self.task.batches(seed, 0):
            found.append(inputs)
            if sum(map(len, found)) >= count:
                break
        return np.concatenate(found)[:count]

    def _before(self, model: keras.Model, strength: Strength, train: Trainer) -> float | None:
        """How good a method is at once; of gradual pruning, what the same zeros at once cost."""
        if "sparsity" not in strength.options:
            return train.before
        pruned, _ = tfprune.one_shot(
            model,
            strength.options["sparsity"],
            "magnitude",
            distribution="global",
            refresh_batch_norm=False,
            verbose=False,
        )
        return self.task.score(pruned)

    def _agreement(self, model: keras.Model, path: Path, seed: int) -> float:
        """The share of examples of which file and model say the same."""
        x = self._examples(seed, _CHECKED["native"])
        return _same(run(path, x), model.predict(x, batch_size=len(x), verbose=0))

    def _latencies(self, seed: int, path: Path) -> dict[str, Any]:
        """Latencies of the file in turns with the dense one, on one thread."""
        files = {DENSE: str(self._file(f"{self.name}-{DENSE}-{seed}"))}
        if str(path) != files[DENSE]:
            files["this"] = str(path)
        found: dict[str, Any] = {}
        for runtime in ("native", *(["wasm"] if wasm.is_installed() else [])):
            timings = tfprune.export.benchmark(files, runs=self.runs, runtime=runtime)
            found[f"{runtime}_ms"] = timings[-1].median_ms
            found[f"{runtime}_ratio"] = timings[-1].ratio
        return found

    def _coded(self, plain: keras.Model, stem: str, seed: int) -> dict[str, Any]:
        """The same weights, coded for a microcontroller, and run by tflite-micro."""
        path = self._file(f"{stem}-micro")
        x = self._examples(seed, _CALIBRATION)
        written = tfprune.export.to_tflite(
            plain, path, target="microcontroller", quantize="int8", representative_data=x
        )
        x = x[: _CHECKED["microcontroller"]]
        (((outputs,),), _) = micro.outputs_of([str(path)], [[x]], batch=1)
        return {
            "micro_bytes": written.bytes,
            "micro_gzip_bytes": written.gzip_bytes,
            "micro_agreement": _same(outputs[0].reshape(len(x), -1), plain.predict(x, verbose=0)),
        }


def _same(outputs: np.ndarray, others: np.ndarray) -> float:
    return float(np.mean(outputs.argmax(-1) == others.argmax(-1)))
