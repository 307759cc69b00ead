"""Time until a model of many layers trains, is saved and is loaded, pruned and plain, in turns.

    python -m scripts.bench.layers

What is measured is what a user waits for: the first `fit` of a freshly made model (one batch, so
nearly all of it is tracing), `save` and `load_model`; and `prune` and `strip_pruning` alone.
Processor time is that of all threads. Writes JSON with the medians and the ratios.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfprune
from scripts.lab import measuring
from scripts.lab.folders import RESULTS
from tfprune.support.files import replacing

WIDTH = 16
PARTS = ("fit", "save", "load")


def network(layers: int) -> keras.Model:
    hidden = [keras.layers.Dense(WIDTH, activation="relu") for _ in range(layers)]
    return keras.Sequential([keras.Input((WIDTH,)), *hidden])


def seconds_of(function: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall and processor seconds of a call, and what it returns."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = function()
    return time.perf_counter() - wall, time.process_time() - cpu, found


def use(model: keras.Model, callbacks: list[Any], folder: str) -> dict[str, tuple[float, float]]:
    """Part -> (wall, processor) seconds of the first fit, saving and loading."""
    x = np.ones((8, WIDTH), "float32")
    model.compile("sgd", "mse")
    path = f"{folder}/model.keras"
    parts: dict[str, Callable[[], Any]] = {
        "fit": lambda: model.fit(x, x, verbose=0, callbacks=callbacks),
        "save": lambda: model.save(path),
        "load": lambda: keras.saving.load_model(path),
    }
    return {part: seconds_of(parts[part])[:2] for part in PARTS}


def measured(layers: int, rounds: int) -> dict[str, Any]:
    schedule = tfprune.ConstantSparsity(0.5, frequency=10)
    found: dict[str, dict[str, list[tuple[float, float]]]] = {
        side: {part: [] for part in PARTS} for side in ("plain", "pruned")
    }
    own: dict[str, list[tuple[float, float]]] = {"prune": [], "strip": []}
    with tempfile.TemporaryDirectory() as folder:
        skip = int(rounds > 1)  # the first of several rounds imports and warms up
        for _ in range(rounds + skip):
            plain = network(layers)
            *seconds, pruned = seconds_of(lambda: tfprune.prune(plain, schedule))
            own["prune"].append((seconds[0], seconds[1]))
            sides = {"plain": (plain, []), "pruned": (pruned, [tfprune.UpdatePruningStep()])}
            for side, (model, callbacks) in sides.items():
                for part, pair in use(model, callbacks, folder).items():
                    found[side][part].append(pair)
            *seconds, _ = seconds_of(lambda: tfprune.strip_pruning(pruned, compile=False))
            own["strip"].append((seconds[0], seconds[1]))
            keras.backend.clear_session()
    result: dict[str, Any] = {part: median(pairs[skip:]) for part, pairs in own.items()}
    for part in PARTS:
        sides = {side: found[side][part][skip:] for side in found}
        result[part] = {side: median(pairs) for side, pairs in sides.items()} | {
            "pruned_to_plain": {
                kind: round(
                    statistics.median(b[n] / a[n] for a, b in zip(sides["plain"], sides["pruned"])),
                    2,
                )
                for n, kind in enumerate(("wall", "cpu"))
            }
        }
    return result


def median(pairs: list[tuple[float, float]]) -> dict[str, float]:
    return {
        kind: round(statistics.median(pair[n] for pair in pairs), 3)
        for n, kind in enumerate(("wall", "cpu"))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, nargs="+", default=[50, 500])
    parser.add_argument("--rounds", type=int, nargs="+", default=[7, 1], help="one for each size")
    parser.add_argument("--out", type=Path, default=RESULTS / "bench_layers.json")
    args = parser.parse_args()
    if len(args.layers) != len(args.rounds):
        parser.error("give --rounds for each of --layers")
    sizes = " ".join(map(str, args.layers))
    results: dict[str, Any] = {
        "command": f"python -m scripts.bench.layers --layers {sizes} "
        f"--rounds {' '.join(map(str, args.rounds))}",
        "versions": measuring.versions(),
        "machine": measuring.machine(),
        "threads": measuring.threads(),
    }
    for layers, rounds in zip(args.layers, args.rounds):
        results[f"{layers}_layers"] = measured(layers, rounds)
    with replacing(args.out) as new:
        Path(new).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
