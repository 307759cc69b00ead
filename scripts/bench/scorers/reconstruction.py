"""Layer-wise reconstruction against SparseGPT: seconds a layer, and what is lost of its output.

    OPENBLAS_NUM_THREADS=1 python -m scripts.bench.scorers.reconstruction

Layers of several numbers of inputs, which are correlated and not negative, as behind a ReLU.
SparseGPT is written from the formulas of its paper (Frantar & Alistarh, ICML 2023, arXiv
2301.00774, algorithm 1, masks chosen in blocks of 128 columns) in the same NumPy. Its masks get
their weights by least squares too, so that errors differ by the choice of masks alone; they are
shares of the mean square of the layer's output. Sides run in turns.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bench.core import interleave, median, ratio
from scripts.lab import measuring
from scripts.lab.folders import RESULTS
from tfprune.scorers.reconstruction.refit import refit_rows
from tfprune.scorers.reconstruction.removal import remove_elements
from tfprune.support.files import replacing

SPARSITIES = (0.5, 0.8, 0.9)
BLOCK = 128  # columns whose mask SparseGPT chooses at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[576, 1152, 2304])
    parser.add_argument("--rows", type=int, default=16, help="outputs; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS / "bench_reconstruction.json")
    args = parser.parse_args()
    sizes = " ".join(map(str, args.sizes))
    results = {
        "command": "OPENBLAS_NUM_THREADS=1 python -m scripts.bench.scorers.reconstruction "
        f"--sizes {sizes} --rows {args.rows} --rounds {args.rounds}",
        "versions": measuring.versions(),
        "machine": measuring.machine(),
        "threads": int(os.environ.get("OPENBLAS_NUM_THREADS", 0)) or os.cpu_count(),
        "layers": {str(size): measured(size, args.rows, args.rounds) for size in args.sizes},
    }
    with replacing(args.out) as new:
        Path(new).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


def measured(size: int, rows: int, rounds: int) -> dict[str, Any]:
    """Return milliseconds an output, their ratio, and the errors of both at each sparsity."""
    w, h = problem(size, rows)

    def greedy() -> None:
        remove_elements(w, h[None], np.zeros(rows, int))

    def other() -> None:
        sparse_gpt(w, h, 0.8)

    times = interleave({"greedy": greedy, "sparsegpt": other}, rounds)
    removed = remove_elements(w, h[None], np.zeros(rows, int))
    return {
        "milliseconds_an_output": {
            name: round(1000 * median(times[name].wall) / rows, 3) for name in times
        },
        "greedy_to_sparsegpt": ratio(times["greedy"], times["sparsegpt"]),
        "lost": {
            str(sparsity): {
                "greedy": lost(w, h, kept_of(*removed, sparsity)),
                "sparsegpt": lost(w, h, sparse_gpt(w, h, sparsity)),
                "magnitude": lost(w, h, np.abs(w) > np.quantile(np.abs(w), sparsity)),
            }
            for sparsity in SPARSITIES
        },
    }


def problem(size: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (rows, size) and damped second moments (size, size) of inputs."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(size, size)) * np.logspace(0.0, -1.0, size)
    x = np.maximum(rng.normal(size=(3 * size, size)) @ mixing.T, 0.0)
    h = x.T @ x / len(x)
    return rng.normal(size=(rows, size)), h + 0.01 * np.diagonal(h).mean() * np.eye(size)


def kept_of(order: np.ndarray, losses: np.ndarray, sparsity: float) -> np.ndarray:
    """Return which weights stay: those whose removal would cost most over all rows."""
    costs = np.empty_like(losses)
    np.put_along_axis(costs, order, np.maximum.accumulate(losses, axis=1), axis=1)
    return costs > np.quantile(costs, sparsity)


def sparse_gpt(w: np.ndarray, h: np.ndarray, sparsity: float) -> np.ndarray:
    """Return which weights SparseGPT keeps (rows, size), boolean."""
    w, kept = w.copy(), np.ones(w.shape, bool)
    root = np.linalg.cholesky(np.linalg.inv(h)).T  # upper triangle U, H^-1 = U^T U
    for start in range(0, len(h), BLOCK):
        stop = min(start + BLOCK, len(h))
        cost = w[:, start:stop] ** 2 / np.diagonal(root)[start:stop] ** 2
        kept[:, start:stop] = cost > np.quantile(cost, sparsity)
        errors = np.zeros((len(w), stop - start))
        for column in range(start, stop):
            gone = np.where(kept[:, column], 0.0, w[:, column])
            errors[:, column - start] = gone / root[column, column]
            w[:, column:stop] -= errors[:, [column - start]] * root[column, column:stop]
        w[:, stop:] -= errors @ root[start:stop, stop:]
    return kept


def lost(w: np.ndarray, h: np.ndarray, kept: np.ndarray) -> float:
    """Return the share of the output's mean square that is lost by the best weights of a mask."""
    change = w - refit_rows(w, kept, h[None], np.zeros(len(w), int))
    return round(float(np.sum((change @ h) * change) / np.sum((w @ h) * w)), 5)


if __name__ == "__main__":
    main()
