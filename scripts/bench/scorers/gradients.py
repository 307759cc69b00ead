"""Processor time of per-example gradients of a ResNet-20, beside a compiled and an eager loop.

    python -m scripts.bench.scorers.gradients

Random images; rounds of the three ways are interleaved. Tracing is measured apart, in fresh
compilations. Writes JSON with the median processor milliseconds for one example's gradient.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfprune
from models import resnet20
from scripts.lab import measuring
from scripts.lab.folders import RESULTS
from tfprune.calibration.evidence import evidence_of
from tfprune.support.files import replacing
from tfprune.wrapping.pruned_layer import pruned_layers

OUT = RESULTS / "bench_gradients.json"
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=1000, help="for ours; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=OUT, help="default: scripts/results/...")
    args = parser.parse_args()
    keras.utils.set_random_seed(0)
    model = tfprune.prune(resnet20(), tfprune.OneShot(0.5))
    random = np.random.default_rng(0)
    x = random.normal(size=(args.examples, 32, 32, 3)).astype("float32")
    y = random.integers(0, 10, args.examples)
    few = min(64, args.examples)
    loop = compiled_loop(model)
    ways: dict[str, tuple[int, Callable[[], Any]]] = {
        "tfprune, first pass with tracing": (args.examples, lambda: ours(model, x, y)()),
        "compiled loop": (few, lambda: loop(x[:few], y[:few])),
        "eager tape": (16, lambda: [single(model, x[i : i + 1], y[i : i + 1]) for i in range(16)]),
    }
    again = ours(model, x, y)
    ways["tfprune, compiled before"] = (args.examples, again)
    again()
    loop(x[:few], y[:few])
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, (_, run) in ways.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    each = {n: 1e3 * statistics.median(s) / ways[n][0] for n, s in seconds.items()}
    first, compiled = (seconds[name] for name in list(ways)[::3])
    result = {
        "command": f"python -m scripts.bench.scorers.gradients --examples {args.examples} "
        f"--rounds {args.rounds}",
        "machine": measuring.machine(),
        "threads": measuring.threads(),
        "versions": measuring.versions(),
        "weights": sum(own.weight.shape.num_elements() for own in owned(model)),
        "cpu_ms_a_gradient": each,
        "trace_cpu_s": statistics.median(a - b for a, b in zip(first, compiled)),
        "ratio_to_tfprune": {n: ms / each["tfprune, compiled before"] for n, ms in each.items()},
        "cpu_seconds": seconds,
    }
    with replacing(args.out) as new:
        Path(new).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"ms": each, "trace_cpu_s": result["trace_cpu_s"]}, indent=1))


def ours(model: keras.Model, x: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    """Return a pass over all examples that compiles on its first call."""
    evidence = evidence_of(model, (x, y), LOSS, examples=None)
    by_weight = evidence.passes.by_weight

    def run() -> None:
        for _ in by_weight.gradients(evidence.taken, 1):
            pass

    return run


def owned(model: keras.Model) -> list[Any]:
    return [own for layer in pruned_layers(model) for own in layer.pruned]


def single(model: keras.Model, x: Any, y: Any) -> list[Any]:
    with tf.GradientTape() as tape:
        loss = LOSS(y, model(x, training=False))
    return tape.gradient(loss, [own.weight.value for own in owned(model)])


def compiled_loop(model: keras.Model) -> Callable[[Any, Any], Any]:
    shapes = [tf.TensorSpec(own.weight.shape, tf.float32) for own in owned(model)]

    @tf.function
    def run(x: Any, y: Any) -> Any:
        return tf.map_fn(
            lambda one: single(model, one[0][None], one[1][None]),
            (x, y),
            fn_output_signature=shapes,
            parallel_iterations=1,
        )

    return run


if __name__ == "__main__":
    main()
