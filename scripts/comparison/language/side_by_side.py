"""All models of one width trained side by side on an accelerator, by JAX.

    KERAS_BACKEND=jax python -m scripts.comparison.language.side_by_side paper 650 --seeds 1

The step of one such LSTM is thousands of small kernels that leave an accelerator idle: `jax.vmap`
makes the same step of the dense model and of its pruned copies, and of several seeds, in little
more time than one takes. Every run is what `language_models.train` trains (same initial weights,
batches, rates, masks), but that dropout draws differ with the kernels; a dense model has masks of
ones. Records go to a results file of the device; nothing is written before the end.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import keras
import numpy as np
from jax import numpy as jnp

import tfprune
from models.data import text
from models.language.lstm import stateless
from models.language.training import WordCrossEntropy
from scripts.comparison import comparison_table, training
from scripts.comparison.families import FAMILIES
from scripts.comparison.language import language_models, lstm_presets
from scripts.lab import experiments, measuring, sparse_weights
from scripts.lab.folders import RESULTS
from scripts.lab.options import PENN_TREEBANK, OneLineParser, add_data
from scripts.lab.results_file import Job, Record, ResultsFile
from tfprune.support.arrays import host_array
from tfprune.support.typed_text import number

PROGRAM = "side_by_side"


class State(NamedTuple):
    """Values of the variables of all models, each stacked along a first axis."""

    trainable: list[Any]
    other: list[Any]
    optimizer: list[Any]


class View:
    """The variables of one of the models, as `tfprune.PruningUpdater` reads and writes them."""

    def __init__(self, model: keras.Model, optimizer: Any, state: State, position: int):
        self._places = {
            id(variable): (values, index)
            for variables, values in zip(_variables(model, optimizer), state)
            for index, variable in enumerate(variables)
        }
        self._position = position

    def read(self, variable: keras.Variable) -> Any:
        values, index = self._places[id(variable)]
        return values[index][self._position]

    def write(self, variable: keras.Variable, value: Any) -> None:
        values, index = self._places[id(variable)]
        values[index] = values[index].at[self._position].set(value)

    def show(self) -> None: ...  # magnitudes are all that is asked for


def train(
    jobs: Sequence[Job],
    preset: str,
    *,
    data_dir: Path | None = None,
    keep: Path | None = None,
    say: Callable[[str], None] = experiments.say,
) -> list[dict[str, Any]]:
    """Train models of one width together, and measure them.

    Args:
        jobs: of one width of `language_models.jobs(preset, seed)`, any sparsities and seeds.
        preset: its name.
        data_dir: folder of the text.
        keep: folder for the models' weights, `.weights.npz`; None keeps none.
        say: takes a line after every pass.

    Returns:
        What `language_models.train` returns of each; `seconds` and `cpu_seconds` are an equal
        share of what all took.
    """
    chosen = lstm_presets.find(preset)
    recipe = next(own for own in chosen.dense if own.units == jobs[0].options["units"])
    texts = {split: text.load("ptb", split, data_dir) for split in text.SPLITS}
    x, y = (
        jnp.asarray(part)
        for part in text.stream_arrays(
            texts["train"].tokens[: chosen.words], recipe.batch_size, recipe.steps
        )
    )
    plan = language_models.Plan.of(recipe, len(x))
    models, optimizers, updaters = [], [], []
    for job in jobs:
        keras.utils.set_random_seed(job.seed)
        model = language_models.build(recipe, len(texts["train"].vocabulary))
        # A dense model is wrapped as well, so that all have the same variables.
        model, _ = training.pruned(model, chosen, job.sparsity or 0.5, plan.total)
        optimizer = plan.optimizer(recipe)
        optimizer.build(model.trainable_variables)
        models.append(model)
        optimizers.append(optimizer)
        # A dense model keeps its masks of ones; its updater is there so that it may be trained.
        updater = tfprune.PruningUpdater(model, optimizer)
        updaters.append(updater if job.sparsity else None)
    first, rule = models[0], optimizers[0]
    state = State(
        *(
            [jnp.stack([host_array(v.value) for v in same]) for same in zip(*kinds)]
            for kinds in zip(*(_variables(m, o) for m, o in zip(models, optimizers)))
        )
    )
    carried = [place for place, v in enumerate(first.non_trainable_variables) if _is_state(v)]
    loss = WordCrossEntropy()

    def step(trainable, other, own, words, following):
        def value(trainable):
            logits, new = first.stateless_call(trainable, other, words, training=True)
            return loss(following, logits), new

        (found, other), slopes = jax.value_and_grad(value, has_aux=True)(trainable)
        trainable, own = rule.stateless_apply(own, slopes, trainable)
        return trainable, other, own, found

    def some_steps(state, begin, end):
        def one(at, carry):
            state, total = carry
            batch = at % plan.batches
            fresh = batch == 0
            other = [
                jnp.where(fresh, 0, v) if place in carried else v
                for place, v in enumerate(state[1])
            ]
            *state, found = jax.vmap(step, (0, 0, 0, None, None))(
                state[0], other, state[2], x[batch], y[batch]
            )
            return State(*state), total + found

        zeros = jnp.zeros(len(jobs))
        return jax.lax.fori_loop(begin, end, one, (state, zeros))

    run = jax.jit(some_steps, donate_argnums=0)
    wall, processor = time.perf_counter(), time.process_time()
    at, summed = 0, np.zeros(len(jobs))
    while at < plan.total:
        following = [u.next_update() for u in updaters if u is not None]
        pass_end = (at // plan.batches + 1) * plan.batches
        stop = min([pass_end, *(due for due in following if due is not None)])
        state, found = run(state, at, stop)
        at, summed = stop, summed + np.asarray(found)
        for position, updater in enumerate(updaters):
            if updater is not None and updater.next_update() == at:
                updater.update(View(models[position], optimizers[position], state, position))
        if at == pass_end:
            shown = " ".join(f"{value:.2f}" for value in np.exp(summed / plan.batches))
            spent = time.perf_counter() - wall
            say(f"pass {at // plan.batches}: {1e3 * spent / at:.2f} ms a step; training {shown}")
            summed = np.zeros(len(jobs))
    spent = {
        "seconds": round((time.perf_counter() - wall) / len(jobs), 2),
        "cpu_seconds": round((time.process_time() - processor) / len(jobs), 2),
    }
    quality = {
        name: perplexities(first, state, carried, texts[split].tokens)
        for name, split in (("perplexity", "test"), ("valid_perplexity", "valid"))
    }
    records = []
    for position, (job, model) in enumerate(zip(jobs, models)):
        view = View(model, optimizers[position], state, position)
        for variable in model.variables:
            variable.assign(view.read(variable))
        plain = stateless(tfprune.strip_pruning(model))
        records.append(
            {
                **{name: round(float(values[position]), 4) for name, values in quality.items()},
                **training.footprint(plain),
                "words": plan.total * recipe.batch_size * recipe.steps,
                **spent,
            }
        )
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            name = f"lstm-{preset}-{job.method}-{job.sparsity:g}-{job.seed}.weights.npz"
            sparse_weights.save(plain, keep / name)
    return records


def perplexities(
    model: keras.Model, state: State, carried: Sequence[int], tokens: np.ndarray
) -> np.ndarray:
    """Return the perplexity of every model on every word of a text but the first."""
    parts = text.stream_arrays(tokens, *model.input_shape, every_token=True)
    loss = WordCrossEntropy(reduction="sum")

    def one(trainable, other, words, following, weights):
        logits, other = model.stateless_call(trainable, other, words, training=False)
        return other, loss(following, logits, sample_weight=weights)

    @jax.jit
    def every(trainable, other, parts):
        each = jax.vmap(one, (0, 0, None, None, None))
        return jax.lax.scan(lambda other, part: each(trainable, other, *part), other, parts)[1]

    other = [jnp.zeros_like(v) if k in carried else v for k, v in enumerate(state.other)]
    sums = every(state.trainable, other, parts)
    return np.exp(np.asarray(sums, np.float64).sum(0) / (len(tokens) - 1))


def _variables(model: keras.Model, optimizer: Any) -> tuple[list[keras.Variable], ...]:
    return model.trainable_variables, model.non_trainable_variables, optimizer.variables


def _is_state(variable: keras.Variable) -> bool:
    return variable.name in ("hidden_state", "cell_state")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("preset", help="of the language models")
    parser.add_argument("units", nargs="+", type=int, help="widths, trained one after the other")
    parser.add_argument(
        "--seeds",
        type=number(int, "an integer in [1, 100]", 1, 101),
        default=1,
        metavar="N",
        help="how many; default: %(default)s",
    )
    add_data(parser, about=PENN_TREEBANK)
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: in scripts/results")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder for their weights")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> None:
    """Train what has no record yet, width by width; the records of a width come together."""
    family, device = FAMILIES["lstm"], jax.devices()[0].device_kind
    settings = {
        "family": family.name,
        "preset": args.preset,
        "device": device,
        "versions": measuring.versions(),
    }

    def summarize(records: list[Record]) -> dict[str, Any]:
        return {
            "command": command(args.preset, records),
            **comparison_table.summary(family, settings, records),
        }

    results = ResultsFile(args.out or RESULTS / f"lstm_{args.preset}.json", settings, summarize)
    every = [j for seed in range(args.seeds) for j in language_models.jobs(args.preset, seed)]
    for units in args.units:
        waiting = [j for j in every if j.options["units"] == units and results.find(j) is None]
        if not waiting:
            experiments.say(f"{units}: nothing to train")
            continue
        experiments.say(f"{units}: {', '.join(map(str, waiting))}")
        found = train(waiting, args.preset, data_dir=args.data_dir, keep=args.keep)
        for job, values in zip(waiting, found, strict=True):
            results.add(job, values)
            shown = ", ".join(f"{k} {v:.2f}" for k, v in values.items() if "perplexity" in k)
            experiments.say(f"{job}: {shown}; {values['nonzeros']:,} nonzeros")


def command(preset: str, records: list[Record]) -> str:
    """Return the command, or commands, that the records are of: one for each number of seeds.

    Example:
        >>> one = {"method": "dense-200", "seed": 0, "options": {"units": 200}}
        >>> command("paper", [one, {**one, "seed": 1}]).split("side_by_side ")[1]
        'paper 200 --seeds 2'
    """
    widths: dict[int, set[int]] = {}
    for record in records:
        widths.setdefault(record["options"]["units"], set()).add(record["seed"])
    commands = []
    for seeds in sorted({len(found) for found in widths.values()}):
        own = " ".join(str(units) for units, found in sorted(widths.items()) if len(found) == seeds)
        commands.append(
            f"python -m scripts.comparison.language.{PROGRAM} {preset} {own} --seeds {seeds}"
        )
    return " and ".join(commands)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    return experiments.exit_status(PROGRAM, lambda: run(args))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
