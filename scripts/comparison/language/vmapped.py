"""One training of several language models, by `jax.vmap` of the step that they share."""

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
from scripts.comparison import training
from scripts.comparison.language import language_models, lstm_presets
from scripts.lab import experiments
from scripts.lab.results_file import Job
from tfprune.support.arrays import host_array


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
    say: Callable[[str], None] = experiments.say,
) -> list[tuple[dict[str, Any], keras.Model]]:
    """Train models of one width together, and measure them.

    Args:
        jobs: of one width of `language_models.jobs(preset, seed)`, any sparsities and seeds.
        preset: its name.
        data_dir: folder of the text.
        say: takes a line after every pass.

    Returns:
        What `language_models.train` returns of each, and the trained model as stripped, without
        states; `seconds` and `cpu_seconds` are an equal share of what all took.
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
    trained = []
    for position, model in enumerate(models):
        view = View(model, optimizers[position], state, position)
        for variable in model.variables:
            variable.assign(view.read(variable))
        plain = stateless(tfprune.strip_pruning(model))
        values = {
            **{name: round(float(each[position]), 4) for name, each in quality.items()},
            **training.footprint(plain),
            "words": plan.total * recipe.batch_size * recipe.steps,
            **spent,
        }
        trained.append((values, plain))
    return trained


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
