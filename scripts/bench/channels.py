"""Plans and smaller models of keras.applications at half the channels: seconds, and what is exact.

    python -m scripts.bench.channels

For every network (random weights, normalizations with statistics that tell channels apart): the
seconds of `channels.plan` and of `channels.prune`, and the largest difference of the smaller model
from the original with these channels at zero, as a fraction of the largest output. Then chains of
Dense layers, which show that the cost is linear in the number of layers. With `--latency NAME ...`,
both models are exported and timed in LiteRT in turns.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from scripts.lab import measuring
from scripts.lab.folders import RESULTS
from tfprune import channels, export
from tfprune.support.files import replacing

NETWORKS = (
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "ResNet50",
    "ResNet50V2",
    "InceptionV3",
    "InceptionResNetV2",
    "Xception",
    "VGG16",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "NASNetMobile",
    "ConvNeXtTiny",
)
CHAINS = (250, 500, 1000, 2000)
SIDE = {"NASNetMobile": 224, "InceptionResNetV2": 128, "InceptionV3": 128}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="NAME")
    parser.add_argument("--chains", nargs="*", type=int, default=CHAINS, metavar="LAYERS")
    parser.add_argument("--latency", nargs="*", default=(), metavar="NAME")
    parser.add_argument("--out", type=Path, default=RESULTS / "bench_channels.json")
    args = parser.parse_args()
    results = {
        "command": "python -m scripts.bench.channels",
        "versions": measuring.versions(),
        "machine": measuring.machine(),
        "threads": measuring.threads(),
        "sparsity": 0.5,
        "networks": {name: of_network(name, name in args.latency) for name in args.networks},
        "chains": {layers: of_chain(layers) for layers in args.chains},
    }
    with replacing(args.out) as new:
        Path(new).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def of_network(name: str, latency: bool) -> dict[str, Any]:
    """Return what one network takes, and how exact the smaller one is."""
    side = 224 if latency else SIDE.get(name, 96)
    build = getattr(keras.applications, name)
    found = measured(unsettled(build(weights=None, input_shape=(side, side, 3))))
    print(name, found, flush=True)
    return found if not latency else found | {"latency": timed(name, side)}


def of_chain(layers: int) -> dict[str, Any]:
    """Return what a chain of Dense layers takes."""
    inputs = x = keras.Input((8,))
    for _ in range(layers):
        x = keras.layers.Dense(8, "relu")(x)
    found = measured(keras.Model(inputs, x))
    print(layers, found, flush=True)
    return found


def measured(model: keras.Model) -> dict[str, Any]:
    """Return seconds, sizes and the difference of a model cut to half of its channels."""
    plan, planning = clocked(lambda: channels.plan(model, 0.5, scope="layer"))
    small, cutting = clocked(lambda: channels.prune(model, plan))
    return {
        "plan_seconds": planning,
        "prune_seconds": cutting,
        "difference": float(f"{channels.verify(model, plan, small):.2g}"),
        "exact": plan.exact,
        "parameters": [plan.before.parameters, plan.after.parameters],
        "multiply_adds": [plan.before.multiply_adds, plan.after.multiply_adds],
    }


def timed(name: str, side: int) -> dict[str, Any]:
    """Return bytes and latencies of both files, run in turns."""
    model = getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3))
    small = channels.prune(model, channels.plan(model, 0.5, scope="layer", round_to=8))
    with tempfile.TemporaryDirectory() as folder:
        paths = {part: os.path.join(folder, f"{part}.tflite") for part in ("dense", "small")}
        for found, path in zip((model, small), paths.values()):
            export.to_tflite(found, path)
        timings = export.benchmark(paths, threads=1, runs=20)
        return {
            "bytes": [os.path.getsize(path) for path in paths.values()],
            "median_ms": [round(timing.median_ms, 3) for timing in timings],
            "speed_up": timings[1].verdict,
        }


def unsettled(model: keras.Model) -> keras.Model:
    """Give normalizations and biases values that tell channels apart, as training does."""
    draws = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(draws.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("beta", "bias", "moving_mean"):
            weight.assign(draws.normal(0.0, 0.3, weight.shape))
    return model


def clocked(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what the work gives, and its seconds."""
    start = time.perf_counter()
    found = work()
    return found, round(time.perf_counter() - start, 2)


if __name__ == "__main__":
    main()
