"""How well saliency agrees with an oracle: the squared loss change when a filter is removed.

    python -m scripts.studies.oracle_correlation --out scripts/results/oracle_correlation.json

A small residual network is trained on digits, for as many epochs as `--epochs` lists: the longer,
the closer to zero the training loss, and with it the gradients that first-order scores rest on. The
oracle zeroes one gate after another (gamma and beta of one channel of a batch normalization) and
measures the loss on the examples that the scorers get. Spearman's rank correlation is taken over
the filters of all layers together, once with every filter on its own and once with the filters that
a skip connection adds up as one.
"""

import argparse
import functools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import scipy
import tensorflow as tf
from scipy.stats import spearmanr

import tfprune
from models.data.arrays import load
from models.images.residual import small_resnet
from tfprune.calibration.evidence import MeasuredEvidence, evidence_of
from tfprune.keras_graph.coupling import batch_norm_of
from tfprune.scorers import Magnitude
from tfprune.scorers.fisher import Fisher
from tfprune.scorers.obd import OBD
from tfprune.scorers.snip import Snip
from tfprune.scorers.taylor import Taylor
from tfprune.sparsity.structures import Unstructured

EXAMPLES = 1280  # whole micro-batches of every size below
SIZES = (1, 8, 32, 128, 640)
APART = "squares summed over coupled layers"  # in place of the square of the sum
UNITS = ("filters", "coupled filters")
METHODS: dict[str, Callable[..., Any]] = {
    **{f"gates, first order, micro-batch {n}": Taylor("gates", 1, n) for n in SIZES},
    **{f"gates, second order, micro-batch {n}": Taylor("gates", 2, n) for n in (32, 128)},
    f"gates, first order, micro-batch 32, {APART}": Taylor("gates", 1, 32),
    f"gates, second order, micro-batch 32, {APART}": Taylor("gates", 2, 32),
    "weights, first order, micro-batch 32": Taylor("weights", 1, 32),
    "weights, first order, micro-batch 1": Taylor("weights", 1, 1),
    "weights of a filter together, first order, micro-batch 32": Taylor("weights", 1, 32),
    "weights of a filter together, second order, micro-batch 32": Taylor("weights", 2, 32),
    "Fisher": Fisher(),
    "OBD": OBD(),
    "SNIP": Snip(),
    "magnitude": Magnitude(),
}
TARGETS = {  # over single filters, in the first of the trainings
    "gates, first order, micro-batch 8": 0.80,
    "gates, first order, micro-batch 32": 0.80,
    "gates, first order, micro-batch 1": 0.83,
    "gates, second order, micro-batch 32": 0.85,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("scripts/results/oracle_correlation.json"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, nargs="+", default=[10, 30], help="of training")
    parser.add_argument("--width", type=int, default=8, help="of the network (default 8)")
    arguments = parser.parse_args()
    results: dict[str, Any] = {
        "command": "python -m scripts.studies.oracle_correlation "
        f"--seeds {_joined(arguments.seeds)} --epochs {_joined(arguments.epochs)} "
        f"--width {arguments.width}",
        "versions": {
            "python": platform.python_version(),
            "tfprune": tfprune.__version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
        "examples": EXAMPLES,
        "seeds": arguments.seeds,
        "targets": TARGETS,
        "trainings": {},
    }
    for epochs in arguments.epochs:
        runs = [measure(seed, epochs, arguments.width) for seed in arguments.seeds]
        results["trainings"][f"{epochs} epochs"] = {
            "models": [run["model"] for run in runs],
            "correlation": {
                unit: {method: _summary([run[unit][method] for run in runs]) for method in METHODS}
                for unit in UNITS
            },
        }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))


def measure(seed: int, epochs: int, width: int) -> dict[str, Any]:
    """Train a network; return the correlation of every method with the oracle."""
    start = time.process_time()
    model, described = train(seed, epochs, width)
    pruned = tfprune.prune(model, tfprune.OneShot(0.5), rules=[("logits/.*", None)])
    digits = load("digits")
    x, y = digits.x_train[:EXAMPLES], digits.y_train[:EXAMPLES]
    taken = evidence_of(pruned, (x, y), cross_entropy(), examples=None, seed=0)
    norms = gates_of(pruned, taken)
    weights = {name: kernel.numpy() for name, kernel in taken.passes.weights.items()}
    found = kept(taken)
    alone = [frozenset([name]) for name in norms]
    groups = taken.channel_groups()
    together = groups + [one for one in alone if not any(one <= group for group in groups)]
    result: dict[str, Any] = {}
    for unit, sets in zip(UNITS, (alone, together)):
        truth = oracle(pruned, norms, sets, x, y)
        result[unit] = {
            method: float(
                spearmanr(truth, scores_of(method, scorer, weights, found, sets)).statistic
            )
            for method, scorer in METHODS.items()
        }
        described[unit] = len(truth)
    seconds = round(time.process_time() - start, 1)
    return {**result, "model": {"seed": seed, **described, "cpu_seconds": seconds}}


def train(seed: int, epochs: int, width: int) -> tuple[keras.Model, dict[str, Any]]:
    keras.utils.set_random_seed(seed)
    digits = load("digits")
    model = small_resnet(width=width)
    steps = epochs * -(-len(digits.x_train) // 32)
    rate = keras.optimizers.schedules.CosineDecay(0.003, steps)
    model.compile(keras.optimizers.Adam(rate), cross_entropy(), metrics=["accuracy"])
    model.fit(digits.x_train, digits.y_train, batch_size=32, epochs=epochs, verbose=0)
    described: dict[str, Any] = {"parameters": model.count_params()}
    for part, x, y in (
        ("training", digits.x_train, digits.y_train),
        ("test", digits.x_test, digits.y_test),
    ):
        loss, accuracy = model.evaluate(x, y, verbose=0)
        described |= {f"{part}_loss": loss, f"{part}_accuracy": accuracy}
    return model, described


def cross_entropy() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def gates_of(
    model: keras.Model, found: MeasuredEvidence
) -> dict[str, keras.layers.BatchNormalization]:
    """Return the batch normalization behind each kernel, by the names of the statistics."""
    norms = batch_norm_of(model)
    return {name: norms[kernel] for name, kernel in found.passes.weights.items()}


def oracle(
    model: keras.Model,
    norms: dict[str, keras.layers.BatchNormalization],
    sets: list[frozenset[str]],
    x: np.ndarray,
    y: np.ndarray,
) -> np.ndarray:
    """Return the squared loss change for each channel of each set of coupled kernels."""
    forward = tf.function(lambda: model(x, training=False))

    def loss() -> float:
        # float64: the changes are small against the loss
        logits = forward().numpy().astype(float)
        return float(np.mean(np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y]))

    dense = loss()
    changes = []
    for names in sets:
        variables = [v for name in names for v in (norms[name].gamma, norms[name].beta)]
        values = [variable.numpy() for variable in variables]
        for channel in range(len(values[0])):
            for variable, value in zip(variables, values):
                gone = value.copy()
                gone[channel] = 0.0
                variable.assign(gone)
            changes.append(loss() - dense)
        for variable, value in zip(variables, values):
            variable.assign(value)
    return np.square(changes)


def kept(found: MeasuredEvidence) -> Any:
    """Return the statistics with every pass made once, for all the methods that ask for it."""
    passes = {
        name: functools.cache(lambda size, run=getattr(found, name): list(run(size)))
        for name in ("batches", "gates", "gate_curvature")
    }
    return SimpleNamespace(mean=found.mean, hessian_diagonal=found.hessian_diagonal, **passes)


def scores_of(
    method: str,
    scorer: Callable[..., Any],
    weights: dict[str, np.ndarray],
    found: Any,
    sets: list[frozenset[str]],
) -> np.ndarray:
    """Return the scores of the channels of each set, in the order of `oracle`.

    What the scorer gets are the statistics found, with the sets of the oracle as what is coupled.
    """
    channel = tfprune.Channel(-1)
    coupled = getattr(scorer, "on", "") == "gates" or "together" in method
    coupled = coupled and APART not in method
    own = SimpleNamespace(
        structures=dict.fromkeys(weights, channel if "together" in method else Unstructured()),
        channel_groups=lambda: [names for names in sets if len(names) > 1 and coupled],
        mean=found.mean,
        hessian_diagonal=found.hessian_diagonal,
        batches=found.batches,
        gates=found.gates,
        gate_curvature=found.gate_curvature,
    )
    scores = {n: channel.group_scores(s) for n, s in scorer(weights, own).items()}
    return np.concatenate(
        [scores[min(names)] if coupled else sum(scores[name] for name in names) for names in sets]
    )


def table(results: dict[str, Any]) -> str:
    """Return the correlations as Markdown: mean and standard deviation over the seeds."""
    columns = [(training, unit) for training in results["trainings"] for unit in UNITS]
    lines = [
        "| Spearman | " + " | ".join(f"{unit}, {training}" for training, unit in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for method in METHODS:
        cells = [results["trainings"][t]["correlation"][unit][method] for t, unit in columns]
        values = " | ".join(f"{cell['mean']:.3f} ± {cell['std']:.3f}" for cell in cells)
        lines.append(f"| {method} | {values} |")
    return "\n".join(lines)


def _joined(values: list[int]) -> str:
    return " ".join(map(str, values))


def _summary(values: list[float]) -> dict[str, Any]:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.fmean(values), "std": spread, "values": values}


if __name__ == "__main__":
    main()
