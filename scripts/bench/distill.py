"""Time of a training step with a teacher, beyond the teacher's own forward pass, in turns.

    python -m scripts.bench.distill

The student is MobileNetV1 at width 0.25 on 96 x 96 images, the teacher the same network at width 1.
In each round come the student's own step, the forward pass of the teacher, the step of
`tfprune.distill`, and that step with a hint (with a regressor) and an attention map. The ratio is
(distilled - teacher) / plain within a round. Writes JSON with medians and ratios.
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
from scripts.lab import measuring
from scripts.lab.folders import RESULTS
from scripts.lab.timed_models import images, mobilenet
from tfprune.support.files import replacing

GOAL = 1.5
INSIDE = "conv_pw_6_relu"  # in the middle of both networks
SKIPPED = 2  # rounds at the beginning, which trace and warm up
KINDS = {"cpu": time.process_time, "wall": time.perf_counter}


def steps(x: np.ndarray, y: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    teacher = keras.applications.MobileNet(input_shape=x.shape[1:], weights=None, classes=10)
    forward = tf.function(lambda batch: teacher(batch, training=False))
    plain = mobilenet(keras)
    models = {
        "plain": plain,
        "distilled": tfprune.distill(_twin(plain), teacher),
        "distilled_inside": tfprune.distill(
            _twin(plain), teacher, hints=[(INSIDE, INSIDE)], attention=[(INSIDE, INSIDE)]
        ),
    }
    for model in models.values():
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    found: dict[str, Callable[[], object]] = {
        name: lambda model=model: model.train_on_batch(x, y)  # type: ignore[misc]
        for name, model in models.items()
    }
    return found | {"teacher": lambda: forward(x).numpy()}


def _twin(model: keras.Model) -> keras.Model:
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    return twin


def measured(rounds: int) -> dict[str, Any]:
    """Return medians of all that is timed, and the ratios."""
    todo = steps(*images())
    spent: dict[str, dict[str, list[float]]] = {n: {kind: [] for kind in KINDS} for n in todo}
    for number in range(rounds + SKIPPED):
        for name, step in todo.items():
            begin = {kind: clock() for kind, clock in KINDS.items()}
            step()
            if number >= SKIPPED:
                for kind, clock in KINDS.items():
                    spent[name][kind].append(clock() - begin[kind])
    result: dict[str, Any] = {
        "ms_a_step": {
            name: {kind: round(1e3 * statistics.median(own[kind]), 1) for kind in KINDS}
            for name, own in spent.items()
        }
    }
    for name in ("distilled", "distilled_inside"):
        result[f"{name}_to_plain"] = {
            kind: beyond(*(spent[side][kind] for side in (name, "teacher", "plain")))
            for kind in KINDS
        }
    return result


def beyond(distilled: list[float], teacher: list[float], plain: list[float]) -> dict[str, Any]:
    """Return the median and the deciles of (distilled - teacher) / plain over the rounds."""
    values = [(all_ - own) / base for all_, own, base in zip(distilled, teacher, plain)]
    return {
        "median": round(statistics.median(values), 3),
        "deciles": [round(value, 3) for value in statistics.quantiles(values, n=10)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS / "bench_distill.json")
    args = parser.parse_args()
    results = {
        "command": f"python -m scripts.bench.distill --rounds {args.rounds}",
        "versions": measuring.versions(),
        "machine": measuring.machine(),
        "threads": measuring.threads(),
        "goal": GOAL,
        **measured(args.rounds),
    }
    with replacing(args.out) as new:
        Path(new).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
