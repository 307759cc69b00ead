"""What removed channels, zeros and int8 give a user, alone and together: bytes and latencies.

    python -m scripts.bench.channel_files

Of every network with random weights: combinations of half the channels (the same share of every
layer, in multiples of 4), 90 % zeros in the structure that the runtime's kernels like, and int8,
exported for each runtime and timed in turns, batch 1, one thread. Keras runs the networks
with all and with half of their channels in turns, too, as one compiled function on one thread of
TensorFlow (the command sets it). Networks that are in the file already are not measured again.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from scripts.bench.export_cases import application, inputs_of, scaled, sparse
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS
from scripts.lab.options import OneLineParser
from scripts.lab.results_file import Job, Record, ResultsFile
from tfprune import channels
from tfprune.export import benchmark, to_tflite
from tfprune.export.run import wasm
from tfprune.support.typed_text import number

PROGRAM = "bench_channel_files"
OUT = RESULTS / f"{PROGRAM}.json"
Combination = tuple[bool, bool, bool]
ROUND = 4  # half of every layer of these networks is a multiple of it
CHANNELS, ZEROS, CALIBRATION = 0.5, 0.9, 16
TARGETS = {"native": "x86", "wasm": "wasm"}  # runtime -> target of the export
GOALS = {"MobileNetV2": 3.5, "ResNet-50": 3.3}  # dense / half the channels, LiteRT
# Channels removed, zeros, int8. Sparse kernels are for 1x1 convolutions: few in ResNet-50.
_DENSE = [(half, False, int8) for int8 in (False, True) for half in (False, True)]
COMBINATIONS = {
    "MobileNetV2": [
        (half, zeros, int8)
        for int8 in (False, True)
        for zeros in (False, True)
        for half in (False, True)
    ],
    "ResNet-50": _DENSE,
}
BUILDERS = {"MobileNetV2": application("MobileNetV2"), "ResNet-50": application("ResNet50")}


def measure(
    build: Callable[[], keras.Model], combinations: Sequence[Combination], runs: int
) -> dict[str, Any]:
    """Return the files of a network on each runtime, and its latencies in Keras.

    Args:
        build: () -> network.
        combinations: whether channels are removed, weights are zero, and files are int8.
        runs: timed turns.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths: dict[str, dict[str, str]] = {runtime: {} for runtime in TARGETS}
        differences: dict[str, float] = {}
        for how in combinations:
            for runtime, target in TARGETS.items():
                # Without zeros there is nothing that the target decides.
                path = f"{folder}/{name_of(*how)}{target if how[1] else ''}.tflite"
                paths[runtime][name_of(*how)] = path
                if path not in differences:
                    model = variant(build, *how, target=target)
                    differences[path] = _exported(model, path, how, target).largest_difference
        models = [variant(build, half, False, False, target="x86") for half in (False, True)]
        experiments.say("exported; now in turns")
        timings = [
            timing
            for runtime, files in paths.items()
            for timing in benchmark(files, runs=runs, runtime=runtime)
        ]
        return {
            "keras": in_keras(models, runs),
            "parameters": [model.count_params() for model in models],
            "files": [
                {
                    "combination": how,
                    **{k: v for k, v in timing.to_dict().items() if k not in ("path", "threads")},
                    "difference": differences[timing.path],
                }
                for how, timing in zip([*combinations] * len(paths), timings, strict=True)
            ],
        }


def name_of(half: bool, zeros: bool, int8: bool) -> str:
    """Return a name for a combination.

    Example:
        >>> name_of(False, False, False), name_of(True, False, True)
        ('dense', 'channels+int8')
    """
    parts = [name for name, on in (("channels", half), ("zeros", zeros), ("int8", int8)) if on]
    return "+".join(parts) or "dense"


def variant(
    build: Callable[[], keras.Model], half: bool, zeros: bool, int8: bool, *, target: str
) -> keras.Model:
    """Return the network of a combination, not quantized yet."""
    keras.utils.set_random_seed(0)
    model = build()
    if half:
        model = channels.prune(model, channels.plan(model, CHANNELS, scope="layer", round_to=ROUND))
    if zeros:
        model = sparse(model, ZEROS, target, "int8" if int8 else None)
    return scaled(model)


def _exported(model: keras.Model, path: str, how: Combination, target: str) -> Any:
    _, zeros, int8 = how
    return to_tflite(
        model,
        path,
        target=target,
        sparse=zeros,
        quantize="int8" if int8 else None,
        representative_data=inputs_of(model, CALIBRATION, 1) if int8 else None,
    )


def in_keras(models: Sequence[keras.Model], runs: int) -> dict[str, Any]:
    """Return the median latency of each model in Keras, and the median ratio of the rounds."""
    import tensorflow as tf

    calls = [tf.function(model) for model in models]
    x = tf.constant(inputs_of(models[0], 1))
    for call in calls:
        call(x, training=False)
    rounds = []
    for _ in range(runs):
        taken = []
        for call in calls:
            start = time.perf_counter()
            call(x, training=False)
            taken.append(1e3 * (time.perf_counter() - start))
        rounds.append(taken)
    return {
        "median_ms": [round(statistics.median(times), 3) for times in zip(*rounds)],
        "ratio": round(statistics.median(dense / small for dense, small in rounds), 3),
    }


def summarize(settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file."""
    names = " ".join(record["method"] for record in records)
    return {
        "command": "TF_NUM_INTRAOP_THREADS=1 python -m scripts.bench.channel_files "
        f"--runs {settings['runs']} --networks {names}",
        "versions": settings["versions"],
        "goals": GOALS,
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--networks", nargs="+", choices=BUILDERS, default=list(BUILDERS), metavar="NAME"
    )
    parser.add_argument(
        "--runs", type=number(int, "an integer in [1, 10^6]", 1, 10**6 + 1), default=40, metavar="N"
    )
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    settings = {
        "runs": args.runs,
        "channels": CHANNELS,
        "zeros": ZEROS,
        "round_to": ROUND,
        "threads": 1,
        "versions": measuring.versions() | measuring.runtime_versions(),
    }
    jobs = [Job(name, CHANNELS, 0, {}, 300) for name in args.networks]

    def work() -> None:
        wasm.require()  # now, not after the exports
        results = ResultsFile(args.out, settings, lambda records: summarize(settings, records))
        experiments.run_all(
            jobs,
            results,
            lambda job: measure(BUILDERS[job.method], COMBINATIONS[job.method], args.runs),
        )

    return experiments.exit_status(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
