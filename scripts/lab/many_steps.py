"""`fit` on JAX that makes many steps in one call, between which an accelerator would idle.

On an H200 a step of ResNet-20 at batch 128 takes 2.3 ms so (seen once, without a results file). A
CPU gains where steps are short or weights are many, which a call for each step copies.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

import tfprune
from scripts.lab import measuring


def fit(
    model: keras.Model,
    batches: Iterable[tuple[Any, np.ndarray]],
    *,
    epochs: int,
    initial_epoch: int,
    steps_per_epoch: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    in_one_call: bool | None = None,
) -> None:
    """Train a compiled model as its own `fit` does, in one call from one mask update to the next.

    Args:
        model: with a built optimizer; its `train_step` decides what a step is.
        batches: inputs (a tuple of arrays where there are several) and targets, all batches of the
            same size.
        epochs: after the last of which it ends.
        initial_epoch: the first one.
        steps_per_epoch: batches in each.
        callbacks: where many steps are one call, without figures, and of its batches those that
            `tfprune.UpdatePruningStep` updates masks after and the last one are all that they see.
        in_one_call: make many steps in a call, and none beyond an epoch, which needs JAX; None does
            so where JAX has an accelerator.
    """
    if in_one_call is None:
        in_one_call = measuring.accelerator() is not None
    if not in_one_call:
        model.fit(
            (batch for batch in batches),  # Keras takes a list for arrays
            epochs=epochs,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            shuffle=False,
            verbose=0,
            callbacks=[*callbacks],
        )
        return
    given = iter(batches)

    def following() -> Any:
        parts = itertools.islice(given, steps_per_epoch)
        return keras.tree.map_structure(lambda *each: np.stack(each), *parts)

    every = keras.callbacks.CallbackList(
        [*callbacks], model=model, epochs=epochs - initial_epoch, steps=steps_per_epoch
    )
    every.on_train_begin()
    with ThreadPoolExecutor(1) as beside:
        ready = beside.submit(following)
        for epoch in range(initial_epoch, epochs):
            every.on_epoch_begin(epoch)
            x, y = ready.result()
            if epoch + 1 < epochs:
                ready = beside.submit(following)
            at = 0
            while at < steps_per_epoch:
                every.on_train_batch_begin(at)
                end = min([steps_per_epoch, *(at + n for n in _until_updates(callbacks))])
                _make_steps(model, x, y, at, end)
                every.on_train_batch_end(end - 1)
                at = end
            every.on_epoch_end(epoch)
    every.on_train_end()


def _until_updates(callbacks: Sequence[keras.callbacks.Callback]) -> Iterator[int]:
    """Yield the number of steps until each callback's next mask update."""
    for callback in callbacks:
        updater = getattr(callback, "updater", None)
        if isinstance(updater, tfprune.PruningUpdater):
            due = updater.next_update()
            if due is not None:
                yield max(1, due - updater.step)


def _make_steps(model: keras.Model, x: Any, y: np.ndarray, begin: int, end: int) -> None:
    """Make a step with each of the batches from `begin` to before `end`."""
    variables = _variables(model)
    state = [[variable.value for variable in kind] for kind in variables]
    state = _steps(model, model.optimizer)(state, x, y, begin, end)
    for variable, value in zip(itertools.chain(*variables), itertools.chain(*state)):
        variable.assign(value)


@functools.lru_cache(maxsize=2)
def _steps(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Any:
    """Return state, inputs, targets, begin, end -> state after a step with each of them.

    It holds as long as the model is compiled with this optimizer.
    """
    import jax

    def steps(state: Any, x: Any, y: Any, begin: Any, end: Any) -> Any:
        def one(at: Any, state: Any) -> Any:
            batch = keras.tree.map_structure(lambda part: part[at], (x, y))
            return [*map(list, model.train_step(state, batch)[1])]

        return jax.lax.fori_loop(begin, end, one, state)

    return jax.jit(steps)


def _variables(model: keras.Model) -> tuple[list[keras.Variable], ...]:
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
