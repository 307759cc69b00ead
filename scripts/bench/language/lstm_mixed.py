"""Words a second in the training of language models on JAX: mixed precision beside float32.

    KERAS_BACKEND=jax python -m scripts.bench.language.lstm_mixed
    KERAS_BACKEND=jax python -m scripts.bench.language.lstm_mixed --units 200 400 650 --sparsity 0.9

Random words and the paper's small recipe, many steps in a call as `scripts.comparison lstm --mixed`
has them; rounds of the two sides are interleaved. Times are of the processor, over all cores.
Writes JSON with the medians, and the losses of both sides after the first round.
"""

import argparse
import functools
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from scripts.comparison import training
from scripts.comparison.language import bfloat16, language_models, lstm_presets
from scripts.lab import experiments, many_steps, measuring
from scripts.lab.folders import RESULTS
from scripts.lab.options import OneLineParser
from tfprune.support.files import replacing
from tfprune.support.typed_text import number

PROGRAM = "lstm_mixed"
OUT = RESULTS / "bench_lstm_mixed.json"
SIDES = ("float32", "bfloat16")
VOCABULARY, STEPS = 10_000, 30  # steps in a round


def compared(units: int, sparsity: float, rounds: int) -> dict[str, Any]:
    """Return medians of both sides, their ratio, and the losses after the first round."""
    recipe = lstm_presets.Recipe(units=units, parts=1)
    plan = language_models.Plan.of(recipe, 1000)
    words = np.random.default_rng(0).integers(
        0, VOCABULARY, (STEPS, recipe.batch_size, recipe.steps + 1), "int32"
    )
    begun = language_models.build(recipe, VOCABULARY)
    models: dict[str, tuple[keras.Model, list[keras.callbacks.Callback]]] = {}
    for side in SIDES:
        model = bfloat16.quick_copy(begun) if side == "bfloat16" else begun
        preset = lstm_presets.Preset((recipe,), ())
        model, callbacks = training.pruned(model, preset, sparsity, plan.total)
        model.compile(plan.optimizer(recipe), language_models.WordCrossEntropy())
        model.optimizer.build(model.trainable_variables)
        models[side] = model, callbacks
    spent: dict[str, list[float]] = {side: [] for side in SIDES}
    losses: dict[str, float] = {}
    for _ in range(rounds + 1):
        for side, (model, callbacks) in models.items():
            begin = time.process_time()
            _round(model, callbacks, words)
            spent[side].append((time.process_time() - begin) / STEPS)
            if side not in losses:
                losses[side] = round(_loss(model, words), 5)
    medians = {side: statistics.median(times[1:]) for side, times in spent.items()}  # compiled
    a_step = recipe.batch_size * recipe.steps
    return {
        "cpu_ms_a_step": {side: round(1e3 * value, 2) for side, value in medians.items()},
        "words_a_cpu_second": {side: round(a_step / value) for side, value in medians.items()},
        "cpu_ratio": round(medians["float32"] / medians["bfloat16"], 3),
        "loss": losses,
    }


def _round(
    model: keras.Model, callbacks: Sequence[keras.callbacks.Callback], words: np.ndarray
) -> None:
    batches = ((batch[:, :-1], batch[:, 1:]) for batch in words)
    options: dict[str, Any] = {"epochs": 1, "initial_epoch": 0, "steps_per_epoch": STEPS}
    many_steps.fit(model, batches, in_one_call=True, callbacks=callbacks, **options)
    np.asarray(model.trainable_variables[0].value)  # JAX has only begun to compute


def _loss(model: keras.Model, words: np.ndarray) -> float:
    losses = [model.test_on_batch(batch[:, :-1], batch[:, 1:]) for batch in words]
    return float(np.mean(losses))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    at_least_one = functools.partial(number, int, "an integer in [1, 10000]", 1, 10_001)
    share = number(float, "a number in [0, 1)", 0, 1)
    parser.add_argument("--units", type=at_least_one(), nargs="+", default=[200, 400])
    parser.add_argument("--sparsity", type=share, default=0.0, help="default: %(default)s")
    parser.add_argument("--rounds", type=at_least_one(), default=10, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=OUT, help="default: in scripts/results")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> None:
    bfloat16.require_jax()
    content = {
        "command": f"python -m scripts.bench.language.{PROGRAM} --units "
        f"{' '.join(map(str, args.units))} --sparsity {args.sparsity:g} --rounds {args.rounds}",
        "machine": measuring.machine(),
        "versions": measuring.versions(),
        "widths": {str(n): compared(n, args.sparsity, args.rounds) for n in args.units},
    }
    with replacing(args.out) as new:
        Path(new).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content["widths"], indent=1))


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    return experiments.exit_status(PROGRAM, lambda: run(args))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
