"""Schedules compared: how the sparsity of a CNN on Fashion-MNIST should rise.

    python -m scripts.studies.ablate_schedule

Everything but the schedule is that of `gradual_comparison.py`, whose dense models all runs start
from: magnitude pruning with one threshold over all layers, the same batches and learning rates.
Every schedule begins at step 0 and is at its final sparsity from the same step on, after which the
network recovers.
"""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tfprune
from models import Dataset
from models.data import arrays
from scripts.lab import experiments
from scripts.studies import gradual_comparison as comparison
from tfprune.scorers import Magnitude

PROGRAM = "ablate_schedule"
OUT = comparison.OUT.with_name("ablate_schedule.json")
FREQUENCY = 100
CYCLES = 3
CYCLE_START = 0.5  # share of the final sparsity at which every cycle but the first begins


def end_step(recipe: comparison.Recipe, steps: int) -> int:
    """Return the step from which on the final sparsity holds."""
    return round(recipe.rising_part * steps)


def polynomial(
    recipe: comparison.Recipe, sparsity: float, steps: int, *, power: float, frequency: int
) -> tfprune.PolynomialDecay:
    """Zhu & Gupta's schedule, arXiv 1710.01878, for power 3; linear for power 1."""
    end = end_step(recipe, steps)
    return tfprune.PolynomialDecay(
        0.0, sparsity, begin_step=0, end_step=end, frequency=frequency, power=power
    )


def at_once(recipe: comparison.Recipe, sparsity: float, steps: int) -> tfprune.OneShot:
    """All of it before the first step."""
    return tfprune.OneShot(sparsity)


def cyclic(recipe: comparison.Recipe, sparsity: float, steps: int) -> tfprune.FromFunction:
    """Cubic rises one after the other, between which weights may come back.

    After Srinivas et al., "Cyclical Pruning for Sparse Neural Networks", arXiv 2202.01290; all
    cycles end at the final sparsity.
    """
    end = end_step(recipe, steps)

    def sparsity_at(step: int) -> float:
        position = min(step / end, 1.0) * CYCLES
        cycle = min(int(position), CYCLES - 1)
        lowest = CYCLE_START * sparsity if cycle else 0.0
        return sparsity + (lowest - sparsity) * (1 - (position - cycle)) ** 3

    return tfprune.FromFunction(sparsity_at, end_step=end, frequency=FREQUENCY)


def _method(label: str, schedule: Callable[..., Any], seconds: float = 25) -> comparison.Method:
    options = {"distribution": "global"}
    return comparison.Method(label, Magnitude(), options, seconds, schedule)


def _polynomial(power: float, frequency: int) -> Callable[..., Any]:
    return functools.partial(polynomial, power=power, frequency=frequency)


METHODS = {
    "cubic_100": _method("cubic, every 100 steps", _polynomial(3, 100)),
    "cubic_10": _method("cubic, every 10 steps", _polynomial(3, 10), 40),
    "cubic_1000": _method("cubic, every 1000 steps", _polynomial(3, 1000)),
    "linear": _method("linear, every 100 steps", _polynomial(1, 100)),
    "cyclic": _method(f"cyclic, {CYCLES} cubic rises, every 100 steps", cyclic),
    "at_once": _method("at once, before training on", at_once),
}


def main(
    arguments: Sequence[str],
    recipe: comparison.Recipe = comparison.Recipe(),
    load: Callable[..., Dataset] = arrays.load,
) -> int:
    args = comparison.parse(arguments, PROGRAM, str(__doc__), METHODS, OUT)
    summarize = functools.partial(comparison.summarize, program=PROGRAM, methods=METHODS)
    return experiments.exit_status(
        PROGRAM, lambda: comparison.run(args, METHODS, summarize, recipe, load)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
