"""Processor time of an SGD step with a large embedding, pruned and plain, in turns.

    python -m scripts.bench.embedding

A table of 1,000,000 x 64, of which a batch reads 8,192 rows. The gradient of a plain lookup is
sparse; so it has to be for a pruned one. Writes JSON with the medians and the ratio.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import keras
import numpy as np

import tfprune
from scripts.lab import measuring
from scripts.lab.folders import RESULTS
from tfprune.support.files import replacing

ROWS, WIDTH, BATCH, LENGTH = 1_000_000, 64, 128, 64


def network() -> keras.Model:
    layers = [
        keras.Input((LENGTH,), dtype="int32"),
        keras.layers.Embedding(ROWS, WIDTH),
        keras.layers.GlobalAveragePooling1D(),
        keras.layers.Dense(1),
    ]
    return keras.Sequential(layers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS / "bench_embedding.json")
    args = parser.parse_args()
    random = np.random.default_rng(0)
    x = random.integers(0, ROWS, (BATCH, LENGTH)).astype("int32")
    y = random.normal(size=(BATCH, 1)).astype("float32")
    pruned = tfprune.prune(network(), tfprune.ConstantSparsity(0.5, 10**6))
    models = {"plain": network(), "pruned": pruned}
    for name, model in models.items():
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    updater = tfprune.PruningUpdater(pruned)
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(args.rounds + 2):
        for name, model in models.items():
            start = time.process_time()
            model.train_on_batch(x, y)
            seconds[name].append(time.process_time() - start)
        updater.update()
    medians = {name: statistics.median(values[2:]) for name, values in seconds.items()}
    ratios = [b / a for a, b in zip(seconds["plain"][2:], seconds["pruned"][2:])]
    results = {
        "command": f"python -m scripts.bench.embedding --rounds {args.rounds}",
        "versions": measuring.versions(),
        "machine": measuring.machine(),
        "threads": measuring.threads(),
        "cpu_seconds_a_step": {name: round(value, 5) for name, value in medians.items()},
        "pruned_to_plain": {
            "median": round(statistics.median(ratios), 3),
            "deciles": [round(value, 3) for value in statistics.quantiles(ratios, n=10)],
        },
    }
    with replacing(args.out) as new:
        Path(new).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
