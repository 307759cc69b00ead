"""MobileNetV1 with ImageNet weights: pruned, exported, and measured on real images.

    python -m scripts.studies.mobilenet_imagenet --weights mobilenet.npz --images sample.zip

Of the images, 200 calibrate (the scorer, batch-norm statistics and int8 activations see them), the
others measure. Nothing is trained: what is lost here, fine-tuning would mostly get back. With the
first seed, each pruned network is exported for WebAssembly and x86 in every kind of quantization;
accuracy is that of the .tflite file. A run that was stopped goes on where it was.
"""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfprune
from models import load_imagenet_sample, load_mobilenet
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS, SHARED
from scripts.lab.options import OneLineParser, add_out, add_seeds
from scripts.lab.results_file import Job, Record, ResultsFile
from tfprune.export import benchmark, to_tflite
from tfprune.export.run import runtime, wasm
from tfprune.scorers import Magnitude, Reconstruction
from tfprune.support.typed_text import number

PROGRAM = "mobilenet_imagenet"
DATA = SHARED / "imagenet_mobilenet"
OUT = RESULTS / "mobilenet_imagenet.json"
CALIBRATION = 200
SPARSITIES, SEEDS = (0.5, 0.6, 0.7, 0.8), (0, 1, 2)
DENSE, EXPORTED = "dense", "reconstruction"
METHODS = {
    "magnitude": ("magnitude", Magnitude(), "uniform"),
    EXPORTED: ("layer-wise reconstruction, global", Reconstruction(), "global"),
}
KINDS = {  # quantize -> the target that it is for
    None: "wasm",
    "float16": "wasm",
    "int8_weights": "wasm",
    "dynamic": "x86",
    "int8": "x86",
}
MEASURES = ("top1", "top5", "top1_before_refresh")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The network and all images.

    Args:
        model: plain classifier.
        x, y: images as the model takes them, and labels.
        runs: timed turns of each exported file.
    """

    model: keras.Model
    x: np.ndarray
    y: np.ndarray
    runs: int

    def split(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices that calibrate and those that measure."""
        order = np.random.default_rng(seed).permutation(len(self.x))
        return order[:CALIBRATION], np.sort(order[CALIBRATION:])

    def run(self, job: Job) -> dict[str, Any]:
        """Return what a job measured."""
        chosen, test = self.split(job.seed)
        if job.method == DENSE:
            return self._accuracy(self.model, test)
        _, scorer, distribution = METHODS[job.method]
        calibration = (self.x[chosen], self.y[chosen])
        masked, _ = tfprune.one_shot(
            self.model,
            job.sparsity,
            scorer,
            calibration,
            keras.losses.SparseCategoricalCrossentropy(),
            structure=tfprune.structures_for("wasm"),
            distribution=distribution,
            refresh_batch_norm=False,
            examples=CALIBRATION,
            seed=job.seed,
            verbose=False,
        )
        model = tfprune.strip_pruning(masked)
        before = self._accuracy(model, test)["top1"]
        tfprune.refresh_batch_norm(model, calibration[0], batch_size=50)
        found = self._accuracy(model, test) | {
            "top1_before_refresh": before,
            "zeros": measuring.zeros(model),
        }
        if job.method == EXPORTED and job.seed == SEEDS[0]:
            found["files"] = self._files(model, calibration[0], test)
        return found

    def _accuracy(self, model: keras.Model, test: np.ndarray) -> dict[str, float]:
        return accuracies(model.predict(self.x[test], batch_size=50, verbose=0), self.y[test])

    def _files(
        self, model: keras.Model, calibration: np.ndarray, test: np.ndarray
    ) -> list[dict[str, Any]]:
        """Return bytes, accuracy and speed-ups of the model's files, the dense one first."""
        with tempfile.TemporaryDirectory() as folder:
            paths = {DENSE: f"{folder}/dense.tflite"}
            reports = {DENSE: to_tflite(model, paths[DENSE], sparse=False)}
            for kind, target in KINDS.items():
                name = kind or "float32"
                paths[name] = f"{folder}/{name}.tflite"
                reports[name] = to_tflite(
                    model,
                    paths[name],
                    target=target,
                    quantize=kind,
                    representative_data=calibration if kind == "int8" else None,
                )
            native = benchmark(paths, runs=self.runs)
            browser = benchmark(paths, runs=self.runs, runtime="wasm")
            return [
                {
                    "name": name,
                    "bytes": reports[name].bytes,
                    "gzip_bytes": reports[name].gzip_bytes,
                    "sparse_multiply_adds": reports[name].coverage.sparse_share,
                    "native": {"median_ms": on_cpu.median_ms, "ratio": on_cpu.ratio},
                    "wasm": {"median_ms": in_wasm.median_ms, "ratio": in_wasm.ratio},
                    **self._file_accuracy(path, test),
                }
                for (name, path), on_cpu, in_wasm in zip(paths.items(), native, browser)
            ]

    def _file_accuracy(self, path: str, test: np.ndarray) -> dict[str, float]:
        kernels = runtime.KERNELS[:1]
        (found,) = runtime.outputs(path, [self.x[test]], batch=1, kernels=kernels).values()
        return accuracies(found[0], self.y[test])


def accuracies(scores: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return top-1 and top-5 accuracy of scores (n, classes)."""
    best = np.argsort(-scores, axis=-1)[:, :5] == y[:, None]
    return {"top1": float(best[:, 0].mean()), "top5": float(best.any(-1).mean())}


def plan(sparsities: Sequence[float], seeds: Sequence[int]) -> list[Job]:
    """Return all jobs: every method at every sparsity with one seed, before the next seed."""
    jobs = []
    for seed in seeds:
        jobs.append(Job(DENSE, 0.0, seed, {}, 30))
        for name, (_, scorer, distribution) in METHODS.items():
            options = {"scorer": repr(scorer), "distribution": distribution}
            expected = 75 if name == "magnitude" else 300
            jobs += [Job(name, sparsity, seed, options, expected) for sparsity in sparsities]
    return jobs


def summarize(settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file."""
    complete = [{name: record.get(name, record["top1"]) for name in MEASURES} for record in records]
    rows = [record | measured for record, measured in zip(records, complete)]
    return {
        "command": f"python -m scripts.studies.mobilenet_imagenet --runs {settings['runs']}",
        "versions": settings["versions"] | measuring.runtime_versions(),
        "labels": {name: label for name, (label, *_) in METHODS.items()},
        "rows": experiments.aggregate(rows, MEASURES),
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--sparsities",
        nargs="+",
        type=number(float, "a fraction in (0, 1)", 1e-9, 1),
        default=list(SPARSITIES),
        metavar="S",
        help=f"default: {' '.join(map(str, SPARSITIES))}",
    )
    add_seeds(parser, SEEDS, "of the choice of images; ")
    parser.add_argument(
        "--runs",
        type=number(int, "an integer in [1, 10^6]", 1, 10**6 + 1),
        default=50,
        metavar="N",
        help="timed turns of each exported file; default: %(default)s",
    )
    files = {
        "weights": ("mobilenet_v1_075_224_imagenet.npz", "see models.load_mobilenet"),
        "images": ("imagenet_sample_1000_224_q90.zip", "see models.load_imagenet_sample"),
    }
    for option, (name, text) in files.items():
        parser.add_argument(
            f"--{option}",
            type=Path,
            default=DATA / name,
            metavar="FILE",
            help=f"{text}; default: ../shared/data/imagenet_mobilenet/{name} beside the checkout",
        )
    add_out(parser, OUT)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    settings = {
        "runs": args.runs,
        "weights": args.weights.name,
        "images": args.images.name,
        "calibration": CALIBRATION,
        "threads": measuring.threads(),
        "versions": measuring.versions(),
    }

    def work() -> None:
        wasm.require()  # now, not after the long scoring
        results = ResultsFile(args.out, settings, lambda records: summarize(settings, records))
        x, y = load_imagenet_sample(args.images)
        experiment = Experiment(load_mobilenet(args.weights), x, y, args.runs)
        experiments.run_all(plan(args.sparsities, args.seeds), results, experiment.run)

    return experiments.exit_status(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
