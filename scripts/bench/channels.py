"""Plans and smaller models of keras.applications at half the channels: seconds, and what is exact.

    python -m scripts.bench.channels

For every network (random weights, normalizations with statistics that tell channels apart): the
seconds that Keras takes to build it, those of `channels.plan` and of `channels.prune`, wall and
processor time, medians over rounds that take the networks in turns; and the largest difference of
the smaller model from the original with these channels at zero, as a fraction of the largest
output. Then chains of convolutions, which show that the cost is linear in the number of layers.
"""

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS
from scripts.lab.options import OneLineParser
from scripts.lab.results_file import Job, Record, ResultsFile
from tfprune import channels
from tfprune.support.typed_text import number

PROGRAM = "bench_channels"
OUT = RESULTS / f"{PROGRAM}.json"
GOALS = {"ResNet50": 2.0, "MobileNetV2": 1.5, "DenseNet121": 4.0, "InceptionV3": 2.5}
# What Torch-Pruning took for the same networks, measured elsewhere.
ELSEWHERE = {"ResNet50": 0.3, "MobileNetV2": 0.13, "DenseNet121": 12.0, "InceptionV3": 0.6}
NETWORKS = (
    *GOALS,
    "MobileNet",
    "MobileNetV3Small",
    "ResNet50V2",
    "InceptionResNetV2",
    "Xception",
    "VGG16",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "NASNetMobile",
    "ConvNeXtTiny",
)
CHAINS = (250, 500, 1000, 2000)
SIDE = {"NASNetMobile": 224, "InceptionResNetV2": 128, "InceptionV3": 128}
SPARSITY = 0.5
PARTS = ("build", "plan", "prune")
_RECURSION = 50_000  # Keras walks a graph by recursion, a level a layer


def network(name: str) -> keras.Model:
    """Return one of `keras.applications` with random weights."""
    side = SIDE.get(name, 96)
    return getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3))


def chain(layers: int) -> keras.Model:
    """Return so many convolutions, one after the other."""
    inputs = x = keras.Input((8, 8, 4))
    for _ in range(layers):
        x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    return keras.Model(inputs, x)


def measured(build: Callable[[], keras.Model], rounds: int, exact: bool) -> dict[str, Any]:
    """Return seconds, sizes and, if `exact`, the difference of a model cut to half its channels."""
    times: dict[str, list[tuple[float, float]]] = {part: [] for part in PARTS}
    for _ in range(rounds):
        model = clocked(build, times["build"])
        unsettle(model)
        gc.collect()
        plan = clocked(lambda: channels.plan(model, SPARSITY, scope="layer"), times["plan"])
        small = clocked(lambda: channels.prune(model, plan), times["prune"])
    found: dict[str, Any] = {
        f"{part}_{kind}": round(statistics.median(one[at] for one in taken), 3)
        for part, taken in times.items()
        for at, kind in enumerate(("seconds", "cpu_seconds"))
    }
    if exact:
        found["difference"] = float(f"{channels.verify(model, plan, small):.2g}")
    return found | {
        "layers": len(model.layers),
        "exact": plan.exact,
        "parameters": [plan.before.parameters, plan.after.parameters],
        "multiply_adds": [plan.before.multiply_adds, plan.after.multiply_adds],
    }


def unsettle(model: keras.Model) -> None:
    """Give normalizations and biases values that tell channels apart, as training does."""
    draws = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(draws.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("beta", "bias", "moving_mean"):
            weight.assign(draws.normal(0.0, 0.3, weight.shape))


def clocked(work: Callable[[], Any], times: list[tuple[float, float]]) -> Any:
    """Return what the work gives; its wall and processor seconds go into the list."""
    start = time.perf_counter(), time.process_time()
    found = work()
    times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return found


def summarize(settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file."""
    names = [record["method"] for record in records]
    networks = " ".join(name for name in names if name in NETWORKS)
    chains = " ".join(f"{record['chain']}" for record in records if record.get("chain"))
    return {
        "command": f"python -m scripts.bench.channels --rounds {settings['rounds']} "
        f"--networks {networks} --chains {chains}",
        "versions": settings["versions"],
        "goals": GOALS,
        "elsewhere": ELSEWHERE,
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--networks", nargs="*", choices=NETWORKS, default=list(NETWORKS), metavar="NAME"
    )
    positive = number(int, "an integer in [1, 10^4]", 1, 10**4 + 1)
    parser.add_argument(
        "--chains", nargs="*", type=positive, default=list(CHAINS), metavar="LAYERS"
    )
    parser.add_argument("--rounds", type=positive, default=3, metavar="N")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    sys.setrecursionlimit(_RECURSION)
    settings = {
        "rounds": args.rounds,
        "sparsity": SPARSITY,
        "threads": measuring.threads(),
        "versions": measuring.versions(),
    }
    jobs = [Job(name, SPARSITY, 0, {}, 10.0 * args.rounds) for name in args.networks]
    jobs += [Job(f"chain of {n}", SPARSITY, 0, {}, n / 50 * args.rounds) for n in args.chains]
    layers = {f"chain of {n}": n for n in args.chains}

    def run(job: Job) -> dict[str, Any]:
        keras.utils.set_random_seed(0)
        keras.utils.clear_session()
        if (count := layers.get(job.method)) is None:
            return measured(lambda: network(job.method), args.rounds, True)
        return {"chain": count} | measured(lambda: chain(count), args.rounds, False)

    def work() -> None:
        results = ResultsFile(args.out, settings, lambda records: summarize(settings, records))
        experiments.run_all(jobs, results, run)

    return experiments.exit_status(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
