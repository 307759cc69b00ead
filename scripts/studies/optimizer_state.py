"""Whether what an optimizer remembers of masked weights should be forgotten: accuracy with both.

    python -m scripts.studies.optimizer_state

A mask update puts the momentum, or the moments of Adam, of masked weights to zero, so that these
keep their values (`tfprune.wrapping.optimizer_slots`). Here models are pruned with it and without
it; everything else, and where all start, is that of `gradual_comparison.py`.
"""

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from models import Dataset
from models.data import arrays
from scripts.lab import experiments, measuring
from scripts.lab.measuring import Evaluator
from scripts.lab.results_file import Job, ResultsFile
from scripts.studies import gradual_comparison as comparison
from tfprune.pruning import updater
from tfprune.scorers import Magnitude

PROGRAM = "optimizer_state"
OUT = comparison.OUT.with_name("optimizer_state.json")
SPARSITY = 0.95
_STAYING = "_kept"


@dataclasses.dataclass(frozen=True)
class MomentumRecipe(comparison.Recipe):
    """The recipe with SGD and momentum in place of Adam."""

    learning_rate: float = 0.05
    momentum: float = 0.9

    def optimizer(self, steps: int) -> keras.optimizers.Optimizer:
        decay = keras.optimizers.schedules.CosineDecay(self.learning_rate, steps)
        return keras.optimizers.SGD(decay, momentum=self.momentum)


RECIPES = {"adam": comparison.Recipe(), "momentum": MomentumRecipe()}


def _method(label: str) -> comparison.Method:
    return comparison.Method(label, Magnitude(), {"distribution": "global"}, 30)


METHODS = {
    "adam": _method("Adam, state of masked weights reset"),
    "adam_kept": _method("Adam, state kept"),
    "momentum": _method("SGD with momentum 0.9, state of masked weights reset"),
    "momentum_kept": _method("SGD with momentum 0.9, state kept"),
}


@contextlib.contextmanager
def state_kept() -> Iterator[None]:
    """Leave the state of optimizers alone in the mask updates made meanwhile."""
    resets = updater.reset_where_masked
    updater.reset_where_masked = lambda *arguments: None
    try:
        yield
    finally:
        updater.reset_where_masked = resets


def run(args: Any, recipes: dict[str, comparison.Recipe], load: Callable[..., Dataset]) -> None:
    """Run those of the methods that the arguments name."""
    images = load("fashion_mnist", args.data_dir)
    first = recipes["adam"]
    model = comparison.build(images, first)
    settings = {
        **{name: dataclasses.asdict(recipe) for name, recipe in recipes.items()},
        "steps": comparison.steps_in(images, first),
        "weights": sum(kernel.size for kernel in measuring.kernels(model)),
        "threads": measuring.threads(),
        "versions": measuring.versions(),
    }
    summarize = functools.partial(comparison.summarize, program=PROGRAM, methods=METHODS)
    results = ResultsFile(args.out, settings, lambda records: summarize(settings, records))
    accuracy = Evaluator(model, images.x_test, images.y_test)

    def train(job: Job) -> dict[str, Any]:
        recipe = recipes[job.method.removesuffix(_STAYING) if job.method in METHODS else "adam"]
        experiment = comparison.Experiment(
            METHODS, images, recipe, args.checkpoints, accuracy, results
        )
        with state_kept() if job.method.endswith(_STAYING) else contextlib.nullcontext():
            return experiment.run(job)

    chosen = {name: METHODS[name] for name in args.methods}
    experiments.run_all(comparison.plan(chosen, args.sparsities, args.seeds), results, train)


def main(
    arguments: Sequence[str],
    recipes: dict[str, comparison.Recipe] = RECIPES,
    load: Callable[..., Dataset] = arrays.load,
) -> int:
    sparsities = [] if "--sparsities" in arguments else ["--sparsities", f"{SPARSITY}"]
    args = comparison.parse([*arguments, *sparsities], PROGRAM, str(__doc__), METHODS, OUT)
    return experiments.exit_status(PROGRAM, lambda: run(args, recipes, load))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
