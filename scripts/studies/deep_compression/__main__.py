"""Deep Compression: prune, share values, code; LeNet-300-100 and LeNet-5, stage by stage.

    python -m scripts.studies.deep_compression --data fashion_mnist

A dense network is trained, pruned gradually by magnitude over all layers, its weights clustered and
fine-tuned, both with the dense one as a teacher. Files: the dense one in float32, which sizes are
compared with; those of target "size" with int8 weights; and that for microcontrollers, whose
weights are coded by what tflite-micro can decode; as they are and compressed by gzip, as a download
is. Each is run, and accuracy is that of the file on the test images (the microcontroller's on the
first of them). A run that was stopped goes on where it was. Networks, epochs and sparsities are in
`presets`.
"""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfprune
from models import Dataset
from models.data import arrays
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS, ROOT
from scripts.lab.options import OneLineParser, add_data, add_seeds
from scripts.lab.results_file import Job, Record, ResultsFile
from scripts.studies.deep_compression.presets import (
    BATCH,
    CALIBRATION,
    FILES,
    PRESETS,
    RATES,
    STAGES,
    TEACHING,
    Preset,
)
from tfprune.export.run import micro, runtime
from tfprune.support.files import replacing

PROGRAM = "deep_compression"
FOLDER = ROOT / "results" / "deep_compression"
MEASURES = ("accuracy", "bytes", "gzip_bytes", "times_smaller", "zipped_times_smaller")
_ON_MICRO = 2000  # test images; a microcontroller's kernels are slow


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One network on one data set.

    Args:
        preset: of the network.
        images: that train and that test.
        folder: of the models of finished stages.
        results: with the records of earlier jobs.
    """

    preset: Preset
    images: Dataset
    folder: Path
    results: ResultsFile

    def run(self, job: Job) -> dict[str, Any]:
        """Train a stage, or write and run a file."""
        if job.method in STAGES:
            return self._quality(self._model(job.method, job.seed))
        dense = self.results.find(Job("dense file", 0.0, job.seed, job.options))
        return self._file(job, dense)

    def _model(self, stage: str, seed: int) -> keras.Model:
        """Return the plain model of a stage from its file, which is made where there is none."""
        path = self.folder / f"{stage}-{seed}.keras"
        if not path.exists():
            keras.utils.set_random_seed(seed)
            model = getattr(self, f"_{stage}")(seed)
            with replacing(str(path)) as temporary:
                model.save(temporary)
        return keras.saving.load_model(path)

    def _dense(self, seed: int) -> keras.Model:
        return self._fit(self.preset.build(), "dense", seed)

    def _pruned(self, seed: int) -> keras.Model:
        schedule = tfprune.PolynomialDecay(0.0, self.preset.sparsity, begin=0.0, end=0.6)
        model = tfprune.prune(self._model("dense", seed), schedule, distribution="global")
        update = tfprune.UpdatePruningStep(verbose=False)
        return tfprune.strip_pruning(self._fit(model, "pruned", seed, update), compile=False)

    def _clustered(self, seed: int) -> keras.Model:
        model = tfprune.cluster(self._model("pruned", seed), self.preset.levels)
        return tfprune.strip_pruning(self._fit(model, "clustered", seed), compile=False)

    def _fit(
        self, model: keras.Model, stage: str, seed: int, *callbacks: keras.callbacks.Callback
    ) -> keras.Model:
        epochs = getattr(self.preset, f"{stage}_epochs")
        steps = epochs * -(-len(self.images.x_train) // BATCH)
        rate = keras.optimizers.schedules.CosineDecay(RATES[stage], steps)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        trained = model
        if stage != "dense":
            trained = tfprune.distill(model, self._model("dense", seed), **TEACHING)
        trained.compile(keras.optimizers.Adam(rate), loss)
        keras.utils.set_random_seed(seed)
        data = self.images.x_train, self.images.y_train
        trained.fit(*data, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=list(callbacks))
        return model

    def _quality(self, model: keras.Model) -> dict[str, Any]:
        evaluated = measuring.Evaluator(model, self.images.x_test, self.images.y_test)
        kernels = measuring.kernels(model)
        distinct = [len(np.unique(kernel)) for kernel in kernels]
        return {
            "accuracy": evaluated(model),
            "zeros": measuring.zeros(model),
            "nonzeros": int(sum(map(np.count_nonzero, kernels))),
            "levels": max(distinct),
        }

    def _file(self, job: Job, dense: Record | None) -> dict[str, Any]:
        stage = {"dense file": "dense", "pruned file": "pruned"}.get(job.method, "clustered")
        model = self._model(stage, job.seed)
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/model.tflite"
            found, accuracy = self._written(job.method, model, path)
        original = dense["bytes"] if dense else found.bytes
        return {
            "accuracy": accuracy,
            "bytes": found.bytes,
            "gzip_bytes": found.gzip_bytes,
            "times_smaller": original / found.bytes,
            "zipped_times_smaller": original / found.gzip_bytes,
        }

    def _written(self, method: str, model: keras.Model, path: str) -> tuple[Any, float]:
        write = partial(tfprune.export.to_tflite, model, path)
        if method == "microcontroller":
            examples = self.images.x_train[:CALIBRATION]
            report = write(target=method, quantize="int8", representative_data=examples)
            images = self.images.x_test[:_ON_MICRO]
            ((outputs,),), _ = micro.outputs_of([path], [[images]], batch=1)
        else:
            report = write(
                target="size", quantize=None if method == "dense file" else "int8_weights"
            )
            kernels = runtime.KERNELS[:1]
            images = self.images.x_test
            (outputs,) = runtime.outputs(path, [images], batch=1, kernels=kernels).values()
        right = outputs[0].reshape(len(images), -1).argmax(-1) == self.images.y_test[: len(images)]
        return report, float(np.mean(right))


def main(argv: list[str] | None = None) -> int:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="fashion_mnist", choices=("fashion_mnist", "mnist"))
    parser.add_argument("--networks", nargs="+", default=list(PRESETS), choices=list(PRESETS))
    add_seeds(parser, [0, 1, 2])
    add_data(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", default=RESULTS)
    arguments = parser.parse_args(argv)
    return experiments.exit_status(PROGRAM, partial(_run, arguments))


def _run(arguments: argparse.Namespace) -> None:
    images = arrays.load(arguments.data, arguments.data_dir)
    for name in arguments.networks:
        preset = PRESETS[name]
        options = {k: v for k, v in dataclasses.asdict(preset).items() if k not in ("build",)}
        settings = {"data": arguments.data, "network": name, "batch": BATCH, **TEACHING, **options}
        path = arguments.out / f"deep_compression_{name}_{arguments.data}.json"
        results = ResultsFile(path, settings, partial(_summary, name, arguments.data))
        folder = FOLDER / arguments.data / name
        folder.mkdir(parents=True, exist_ok=True)
        experiment = Experiment(preset, images, folder, results)
        jobs = [
            Job(method, 0.0 if method.startswith("dense") else preset.sparsity, seed)
            for seed in arguments.seeds
            for method in (*STAGES, *FILES)
        ]
        experiments.run_all(jobs, results, experiment.run)


def _summary(name: str, data: str, records: list[Record]) -> dict[str, Any]:
    measured: Callable[[Record], bool] = lambda record: record["method"] in FILES
    rows = experiments.aggregate(filter(measured, records), MEASURES)
    stages = [record for record in records if record["method"] in STAGES]
    return {
        "command": f"python -m scripts.studies.{PROGRAM} --data {data} --networks {name}",
        "versions": measuring.versions() | measuring.runtime_versions(),
        "rows": experiments.aggregate(stages, ["accuracy", "zeros", "nonzeros", "levels"]) + rows,
    }


if __name__ == "__main__":
    sys.exit(main())
