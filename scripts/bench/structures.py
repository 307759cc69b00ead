"""Time and memory of a mask update of 10 million weights, by structure and distribution.

    python -m scripts.bench.structures

A whole update: read the weights, score them by magnitude, choose, assign the masks. All cases and
`np.partition`, which finds a threshold over as many magnitudes, run in turns; ratios are those of
medians.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfprune
from scripts.bench.core import interleave, median, peak_bytes, ratio
from scripts.lab import measuring
from scripts.lab.folders import RESULTS
from tfprune.support.files import replacing

SHAPE = (2_500, 4_000)
LAYERS = 4  # of the model that has one threshold over all its weights
CASES: dict[str, tuple[float, dict[str, Any]]] = {  # name -> sparsity, arguments of PrunedLayer
    "Unstructured()": (0.9, {}),
    "Unstructured(), global": (0.9, {"distribution": "global"}),
    "NofM(2, 4)": (0.5, {"structure": tfprune.NofM(2, 4)}),
    "NofM(2, 4), on its way": (0.3, {"structure": tfprune.NofM(2, 4)}),
    "NofM(2, 4, axis=-1)": (0.5, {"structure": tfprune.NofM(2, 4, axis=-1)}),
    "Block(4, 1)": (0.9, {"structure": tfprune.Block(4, 1)}),
    "Block(16, 1)": (0.9, {"structure": tfprune.Block(16, 1)}),
    "Block(1, 4)": (0.9, {"structure": tfprune.Block(1, 4)}),
    "Channel()": (0.9, {"structure": tfprune.Channel()}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS / "bench_structures.json")
    args = parser.parse_args()
    results = {
        "command": f"python -m scripts.bench.structures --rounds {args.rounds}",
        "versions": measuring.versions(),
        "machine": measuring.machine(),
        "threads": measuring.threads(),
        "weights": SHAPE[0] * SHAPE[1],
        "cases": measured(args.rounds, SHAPE),
    }
    with replacing(args.out) as new:
        Path(new).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


def measured(rounds: int, shape: tuple[int, int]) -> dict[str, Any]:
    """Return sparsity, ratio to `np.partition` and extra bytes a weight of each case."""
    size = shape[0] * shape[1]
    updates = {name: update_of(shape, *case) for name, case in CASES.items()}
    weight = np.random.default_rng(0).normal(size=size).astype("float32")

    def partition() -> None:
        np.partition(np.abs(weight), size * 9 // 10)

    peaks = {name: peak_bytes(update) for name, (update, _) in updates.items()}
    sides = {name: update for name, (update, _) in updates.items()}
    times = interleave({**sides, "np.partition": partition}, rounds)
    return {
        name: {
            "sparsity": CASES[name][0],
            "reached": round(reached(), 4),
            "median_seconds": round(median(times[name].wall), 4),
            "to_partition": ratio(times[name], times["np.partition"]),
            "peak_extra_bytes_a_weight": round(peaks[name] / size, 2),
        }
        for name, (_, reached) in updates.items()
    }


def update_of(
    shape: tuple[int, int], sparsity: float, options: dict[str, Any]
) -> tuple[Callable[[], None], Callable[[], float]]:
    """Return what updates the masks of a model of these weights, and what tells its sparsity."""
    count = LAYERS if options.get("distribution") == "global" else 1
    inputs = keras.Input((shape[0],))
    layers = [
        tfprune.PrunedLayer(
            keras.layers.Dense(shape[1] // count, use_bias=False),
            tfprune.ConstantSparsity(sparsity),
            **options,
        )
        for _ in range(count)
    ]
    model = keras.Model(inputs, [layer(inputs) for layer in layers])
    updater = tfprune.PruningUpdater(model, keras.optimizers.SGD())

    def reached() -> float:
        masks = [layer.pruned[0].mask.numpy() for layer in layers]
        return 1.0 - sum(map(np.count_nonzero, masks)) / sum(mask.size for mask in masks)

    return updater.refresh, reached


if __name__ == "__main__":
    main()
