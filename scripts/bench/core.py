"""Time and memory of pruning itself, side by side with tensorflow-model-optimization.

    python -m scripts.bench.core --out scripts/results/bench_core.json

Both packages run in one process on the same architectures and data (this one on Keras 3, the other
on legacy Keras), each compared with its own unpruned model. Rounds are interleaved; medians and
ratios of medians are reported, with the 10th and 90th percentile of the per-round ratios, and the
ratio of processor times, which other work on the machine disturbs less.
"""

import argparse
import ctypes
import dataclasses
import gc
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

import tfprune
from scripts.lab.timed_models import MODELS
from tfprune.scorers import Magnitude

WEIGHTS = 10_000_000
SPARSITY = 0.9
FAR = 10**8  # a step that no run reaches
OTHER = tfmot.sparsity.keras


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("scripts/results/bench_core.json"))
    parser.add_argument("--rounds", type=int, default=16, help="interleaved rounds (default 16)")
    parser.add_argument("--steps", type=int, default=6, help="training steps a round (default 6)")
    arguments = parser.parse_args()
    results: dict[str, Any] = {
        "command": "python -m scripts.bench.core "
        f"--rounds {arguments.rounds} --steps {arguments.steps}",
        "versions": {
            name: module.__version__
            for name, module in (
                ("tfprune", tfprune),
                ("keras", keras),
                ("tensorflow", tf),
                ("tf_keras", tf_keras),
                ("tensorflow-model-optimization", tfmot),
                ("numpy", np),
            )
        },
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
        "threads": {
            "intra_op": tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count(),
            "mask_update": 1,
        },
    }
    results["mask_update_10m"] = show("mask update, 10M weights", mask_update(arguments.rounds))
    for name, (build, data, times) in MODELS.items():
        rounds = times * arguments.rounds
        results[name] = show(name, training(build, data(), rounds, arguments.steps))
        keras.backend.clear_session()
        gc.collect()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    print(f"wrote {arguments.out}")


def show(title: str, values: dict[str, Any]) -> dict[str, Any]:
    print(title)
    for key, value in values.items():
        print(f"  {key}: {value}")
    sys.stdout.flush()
    return values


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds of each round; processor time is that of all threads together."""

    wall: list[float] = dataclasses.field(default_factory=list)
    processor: list[float] = dataclasses.field(default_factory=list)


def interleave(sides: dict[str, Callable[[], None]], rounds: int) -> dict[str, Times]:
    """Return the times of each side, `rounds` times in turn after one uncounted round."""
    times = {name: Times() for name in sides}
    names = list(sides)
    for round_ in range(rounds + 1):
        names = names[1:] + names[:1]  # no side is always first
        for name in names:
            wall, processor = time.perf_counter(), time.process_time()
            sides[name]()
            if round_:
                times[name].processor.append(time.process_time() - processor)
                times[name].wall.append(time.perf_counter() - wall)
    return times


def ratio(numerator: Times, denominator: Times) -> dict[str, float]:
    """Return ratios of medians, and percentiles of the ratios of single rounds."""
    each = np.divide(numerator.wall, denominator.wall)
    return {
        "ratio_of_medians": round(median(numerator.wall) / median(denominator.wall), 3),
        "p10": round(float(np.quantile(each, 0.1)), 3),
        "p90": round(float(np.quantile(each, 0.9)), 3),
        "processor_time_ratio": round(
            median(numerator.processor) / median(denominator.processor), 3
        ),
    }


def median(values: list[float]) -> float:
    return float(np.median(values))


def mask_update(rounds: int) -> dict[str, Any]:
    """One whole update of a Dense layer of 10M weights: read, score, select, assign the mask."""
    shape = (2_500, WEIGHTS // 2_500)
    layer = tfprune.PrunedLayer(
        keras.layers.Dense(shape[1], use_bias=False), tfprune.ConstantSparsity(SPARSITY)
    )
    model = keras.Sequential([keras.Input(shape[:1]), layer])
    updater = tfprune.PruningUpdater(model, keras.optimizers.SGD())
    other = OTHER.prune_low_magnitude(
        tf_keras.layers.Dense(shape[1], use_bias=False),
        OTHER.ConstantSparsity(SPARSITY, 0),
    )
    other.build((None, shape[0]))
    weight = layer.layer.kernel.numpy()
    other.layer.kernel.assign(weight)

    def ours() -> None:
        updater.refresh()

    def theirs() -> None:
        # The update that its training step runs on schedule.
        pruning = other.pruning_obj
        for variable, mask, _ in pruning._pruning_vars:
            mask.assign(pruning._maybe_update_block_mask(variable)[1])

    def partition() -> None:
        np.partition(np.abs(weight).reshape(-1), int(SPARSITY * WEIGHTS))

    # Memory first: later, freed memory that an allocator kept would hide what a call takes.
    peaks = {"tfprune": peak_bytes(ours), "tfmot": peak_bytes(theirs)}
    times = interleave({"tfprune": ours, "tfmot": theirs, "np.partition": partition}, rounds)
    magnitudes = Magnitude()({"w": weight})["w"]
    expected = np.zeros(WEIGHTS, bool)
    kept = round((1 - SPARSITY) * WEIGHTS)
    expected[np.argsort(-np.asarray(magnitudes).reshape(-1), kind="stable")[:kept]] = True
    got = layer.pruned[0].mask.numpy().reshape(-1)
    return {
        "median_seconds": {name: round(median(t.wall), 4) for name, t in times.items()},
        "tfprune_to_partition": ratio(times["tfprune"], times["np.partition"]),
        "tfmot_to_partition": ratio(times["tfmot"], times["np.partition"]),
        "tfprune_exact": bool((got == expected).all()),
        "tfprune_peak_extra_bytes_a_weight": round(peaks["tfprune"] / WEIGHTS, 2),
        "tfmot_peak_extra_bytes_a_weight": round(peaks["tfmot"] / WEIGHTS, 2),
    }


def peak_bytes(run: Callable[[], None]) -> int:
    """Return by how much the process's resident memory rises at its highest during `run`."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # freed memory that the allocator kept hides what a call takes
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    run()
    return max(0, resident("VmHWM") - before)


def resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in /proc/self/status")


def training(build: Any, data: Any, rounds: int, steps: int) -> dict[str, Any]:
    """Training step, trace time and variable memory of one architecture, pruned and not."""
    trace: dict[str, Times] = {}
    for _ in range(3):
        sides, models = prepare(build, data, steps, trace)
    times = interleave(sides, rounds)
    updater = tfprune.PruningUpdater(models["tfprune"])
    update = interleave({"update": updater.refresh}, 5)["update"].wall
    step = median(times["tfprune"].wall) / steps
    return {
        "step_seconds": {name: round(median(t.wall) / steps, 5) for name, t in times.items()},
        "tfprune_step_to_unpruned": ratio(times["tfprune"], times["keras3"]),
        "tfmot_step_to_unpruned": ratio(times["tfmot"], times["legacy"]),
        "tfprune_update_seconds": round(median(update), 4),
        "tfprune_amortised_every_100_steps": round(1 + median(update) / 100 / step, 4),
        "first_fit_seconds": {name: round(median(t.wall), 2) for name, t in trace.items()},
        "tfprune_first_fit_to_unpruned": ratio(trace["tfprune"], trace["keras3"]),
        "tfmot_first_fit_to_unpruned": ratio(trace["tfmot"], trace["legacy"]),
        "tfprune_variable_bytes_to_unpruned": memory(models["tfprune"], models["keras3"]),
        "tfmot_variable_bytes_to_unpruned": memory(models["tfmot"], models["legacy"]),
    }


def prepare(
    build: Any, data: Any, steps: int, trace: dict[str, Times]
) -> tuple[dict[str, Any], Any]:
    """Return a training run a side, and the models; add the times of their first one-step fit."""
    plain, legacy = build(keras), build(tf_keras)
    models = {
        "keras3": plain,
        "tfprune": tfprune.prune(plain, tfprune.ConstantSparsity(SPARSITY, frequency=FAR)),
        "legacy": legacy,
        "tfmot": prune_with_other(legacy),
    }
    sides = {}
    for name, model in models.items():
        model.compile("sgd", "sparse_categorical_crossentropy")
        callbacks = {"tfprune": [quiet_updates()], "tfmot": [OTHER.UpdatePruningStep()]}
        dataset = tf.data.Dataset.from_tensors(data).repeat()
        sides[name] = fit(model, dataset, callbacks.get(name, []), steps)
        wall, processor = time.perf_counter(), time.process_time()
        fit(model, dataset, callbacks.get(name, []), 1)()
        first = trace.setdefault(name, Times())
        first.wall.append(time.perf_counter() - wall)
        first.processor.append(time.process_time() - processor)
    return sides, models


def prune_with_other(model: Any) -> Any:
    """Wrap the layers that the other package supports; it refuses models with any other layer."""

    def wrap(layer: Any) -> Any:
        try:
            return OTHER.prune_low_magnitude(
                layer, OTHER.ConstantSparsity(SPARSITY, begin_step=FAR)
            )
        except ValueError:
            return layer

    return tf_keras.models.clone_model(model, clone_function=wrap)


def quiet_updates() -> tfprune.UpdatePruningStep:
    warnings.filterwarnings("ignore", message="No mask update will happen")
    return tfprune.UpdatePruningStep()


def fit(model: Any, dataset: Any, callbacks: list[Any], steps: int) -> Callable[[], None]:
    def run() -> None:
        model.fit(
            dataset, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0, callbacks=callbacks
        )

    return run


def memory(pruned: Any, plain: Any) -> float:
    def size(model: Any) -> int:
        return sum(variable.numpy().nbytes for variable in model.variables)

    return round(size(pruned) / size(plain), 3)


if __name__ == "__main__":
    main()
