"""Fashion-MNIST from training to .tflite files: what each export costs in accuracy and saves.

    python -m scripts.studies.fashion_export

Model and training are those of the quickstart: a CNN trained densely for 3 epochs, then gradually
pruned to 90 % in 6 more, once in blocks of 4 (for float32 kernels), once in blocks of 16 (for int8
ones). The output layer, 0.4 % of the weights, stays dense: blocks of 16 would leave its ten classes
6 blocks at 90 %, so that some class would have no input; one model shows what that costs. The dense
model that they are compared with is trained for these 6 epochs too.

The pruned model with blocks of 16 is fine-tuned for 2 epochs at a tenth of the learning rate: with
its weights rounded to 8 or 4 bits, and as they are, as a control, which is also rounded to 4 bits
afterwards, without training.

Every model is exported in every way that fits it, for x86 and for the fewest bytes. Accuracy is
that of the .tflite file on all test images, one at a time; int8 is calibrated on 200 training
images. Files of the first seed are timed in turns. A run that was stopped goes on where it was.
"""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfprune
from models import Dataset
from models.data import arrays
from scripts.lab import experiments, measuring
from scripts.lab.batches import Batches
from scripts.lab.folders import RESULTS, ROOT
from scripts.lab.options import OneLineParser
from scripts.lab.results_file import Job, Record, ResultsFile
from scripts.studies.fashion_cases import DENSE, FILES, MODELS, RECIPE, START, TIMED, Model, Recipe
from scripts.studies.gradual_comparison import build, digest, loss
from tfprune.export import benchmark
from tfprune.export.run import runtime, wasm
from tfprune.export.run.bench import RUNTIMES
from tfprune.support.files import replacing
from tfprune.support.typed_text import number
from tfprune.wrapping.pruned_layer import pruned_layers

PROGRAM = "fashion_export"
OUT = RESULTS / "fashion_export.json"
FOLDER = ROOT / "results" / "fashion_export"
SPARSITIES, SEEDS = (0.9,), (0, 1, 2)
CALIBRATION, WARMUP = 200, 50
LATENCY = "latency"
MEASURES = ("accuracy", "keras_accuracy", "bytes", "gzip_bytes", "sparse_multiply_adds")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Runs jobs on one data set; trained models are kept in `folder`."""

    images: Dataset
    recipe: Recipe
    folder: Path
    accuracy: measuring.Evaluator
    results: ResultsFile

    def run(self, job: Job) -> dict[str, Any]:
        """Export and measure one file, or time the files of a seed."""
        if job.method.startswith(LATENCY):
            return self._latency(job)
        file = FILES[job.method]
        model = self.plain(file.model, job)
        values = {"model": file.model, "digest": digest(model), "zeros": measuring.zeros(model)}
        self._require_same_model(job, values)
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/model.tflite"
            report = file.write(model, path, self._calibration(job.seed))
            accuracy = self._file_accuracy(path)
        return {
            "accuracy": accuracy,
            "keras_accuracy": self.accuracy(model),
            "bytes": report.bytes,
            "gzip_bytes": report.gzip_bytes,
            "sparse_multiply_adds": report.coverage.sparse_share,
            "largest_difference": report.largest_difference,
            **values,
        }

    def plain(self, name: str, job: Job) -> keras.Model:
        """Return a model of the job's sparsity and seed, without wrappers."""
        model = self._trained(name, job)
        return tfprune.strip_pruning(model) if pruned_layers(model) else model

    def _trained(self, name: str, job: Job) -> keras.Model:
        """Return a model from its file, which is made where there is none.

        It comes from the file in any case, so that a run that was stopped gives what one at once
        does.
        """
        sparsity = 0.0 if name in (START, DENSE) else job.sparsity
        file = self.folder / f"{name}-{sparsity:g}-{job.seed}.keras"
        if not file.exists():
            model = self._make(MODELS[name], job)
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(file) as new:
                model.save(new)
        return keras.saving.load_model(file, compile=False)

    def _make(self, plan: Model, job: Job) -> keras.Model:
        model = None if plan.parent is None else self._trained(plan.parent, job)
        keras.utils.set_random_seed(job.seed)
        if model is None:
            model = build(self.images, self.recipe)
        if plan.structure is not None:
            schedule = self.recipe.schedule(job.sparsity, len(self.images.x_train))
            rules = list(plan.rules)
            model = tfprune.prune(model, schedule, structure=plan.structure, rules=rules)
        if plan.bits is not None:
            model = tfprune.quantize_aware(model, bits=plan.bits)
        if plan.phase is not None:
            self._fit(model, plan.phase, job.seed)
        return model

    def _fit(self, model: keras.Model, phase: int, seed: int) -> None:
        epochs, learning_rate = self.recipe.phase(phase)
        batches = Batches(
            self.images.x_train,
            self.images.y_train,
            batch_size=self.recipe.batch_size,
            epochs=epochs,
            seed=3 * seed + phase,  # one order a seed and phase: models of a phase see the same
        )
        model.compile(keras.optimizers.Adam(learning_rate), loss())
        callbacks = [tfprune.UpdatePruningStep()] if pruned_layers(model) else []
        model.fit(batches, shuffle=False, verbose=0, callbacks=callbacks)

    def _calibration(self, seed: int) -> np.ndarray:
        count = min(CALIBRATION, len(self.images.x_train))
        chosen = np.random.default_rng(seed).permutation(len(self.images.x_train))[:count]
        return self.images.x_train[chosen]

    def _file_accuracy(self, path: str) -> float:
        kernels = runtime.KERNELS[:1]
        (found,) = runtime.outputs(path, [self.images.x_test], batch=1, kernels=kernels).values()
        return float(np.mean(found[0].argmax(-1) == self.images.y_test))

    def _latency(self, job: Job) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            paths = {}
            for index, file in enumerate(TIMED):
                paths[file.name] = f"{folder}/{index}.tflite"
                model = self.plain(file.model, job)
                file.write(model, paths[file.name], self._calibration(job.seed))
            runs, place = job.options["runs"], job.options["runtime"]
            timings = benchmark(paths, runs=runs, warmup=WARMUP, runtime=place)
        kept = ("name", "median_ms", "p10_ms", "p90_ms", "ratio")
        return {"files": [{key: getattr(t, key) for key in kept} for t in timings]}

    def _require_same_model(self, job: Job, values: dict[str, Any]) -> None:
        same = {"model": values["model"], "sparsity": job.sparsity, "seed": job.seed}
        for record in self.results.records:
            if same.items() <= record.items() and record["digest"] != values["digest"]:
                raise ValueError(
                    f"{self.results.path} has files of seed {job.seed} from another "
                    f"'{values['model']}' model than the one in {self.folder}; use another file."
                )


def plan(
    methods: Sequence[str],
    sparsities: Sequence[float],
    seeds: Sequence[int],
    runtimes: Sequence[str],
    runs: int,
) -> list[Job]:
    """Return all jobs: every file of one seed before the next seed; the first seed is timed."""
    jobs = []
    for seed in seeds:
        for name in methods:
            levels = [0.0] if FILES[name].model == DENSE else sparsities
            jobs += [Job(name, s, seed, FILES[name].describe(), 30.0) for s in levels]
        if seed == seeds[0]:
            jobs += [
                Job(f"{LATENCY}/{place}", s, seed, {"runtime": place, "runs": runs}, 60.0)
                for s in sparsities
                for place in runtimes
            ]
    return jobs


def summarize(settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file: the command that makes its records, and the rows."""
    exported = [record for record in records if record["method"] in FILES]
    options = {
        "sparsities": dict.fromkeys(f"{record['sparsity']}" for record in records),
        "seeds": dict.fromkeys(f"{record['seed']}" for record in records),
    }
    options["sparsities"].pop("0.0", None)  # of the dense model
    listed = "".join(f" --{name} {' '.join(values)}" for name, values in options.items() if values)
    return {
        "command": f"python -m scripts.studies.fashion_export{listed}",
        "versions": settings["versions"],
        "files": {
            name: {**dataclasses.asdict(file), "label": MODELS[file.model].label}
            for name, file in FILES.items()
        },
        "latencies": [
            {"runtime": record["options"]["runtime"], "sparsity": record["sparsity"], **timing}
            for record in records
            if record not in exported
            for timing in record["files"]
        ],
        "rows": experiments.aggregate(exported, MEASURES),
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    experiments.add_job_options(parser, FILES, SPARSITIES, SEEDS, OUT)
    parser.add_argument(
        "--runtimes",
        nargs="*",
        choices=RUNTIMES,
        default=list(RUNTIMES),
        metavar="NAME",
        help=f"where files of the first seed are timed, of {', '.join(RUNTIMES)}; default: both",
    )
    parser.add_argument(
        "--runs",
        type=number(int, "an integer in [1, 10^6]", 1, 10**6 + 1),
        default=1000,
        metavar="N",
        help="timed inferences of each file; default: %(default)s",
    )
    parser.add_argument(
        "--models",
        type=Path,
        default=FOLDER,
        metavar="DIR",
        help="folder for the trained models; default: results/fashion_export",
    )
    return parser.parse_args(arguments)


def main(
    arguments: Sequence[str],
    recipe: Recipe = RECIPE,
    load: Callable[..., Dataset] = arrays.load,
) -> int:
    args = parse(arguments)

    def work() -> None:
        if "wasm" in args.runtimes:
            wasm.require()  # now, not when the models are trained
        images = load("fashion_mnist", args.data_dir)
        model = build(images, recipe)
        settings = {
            **dataclasses.asdict(recipe),
            "weights": sum(kernel.size for kernel in measuring.kernels(model)),
            "calibration": CALIBRATION,
            "images": len(images.x_test),
            "threads": measuring.threads(),
            "versions": measuring.versions() | measuring.runtime_versions(),
        }
        results = ResultsFile(args.out, settings, lambda records: summarize(settings, records))
        accuracy = measuring.Evaluator(model, images.x_test, images.y_test)
        experiment = Experiment(images, recipe, args.models, accuracy, results)
        jobs = plan(args.methods, args.sparsities, args.seeds, args.runtimes, args.runs)
        experiments.run_all(jobs, results, experiment.run)

    return experiments.exit_status(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
