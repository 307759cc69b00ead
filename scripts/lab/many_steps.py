"""`fit` that makes many steps in one call of an accelerator, which single steps leave idle.

On an H200 a step of ResNet-20 at batch 128 takes 2.3 ms so (seen once, without a results file).
"""

import functools
import itertools
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from scripts.lab import measuring


def fit(
    model: keras.Model,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    epochs: int,
    initial_epoch: int,
    steps_per_epoch: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Train a compiled model as its own `fit` does; on an accelerator of JAX an epoch is one call.

    Args:
        model: with a built optimizer; its `train_step` decides what a step is.
        batches: images and labels, all batches of the same size.
        epochs: after the last of which it ends.
        initial_epoch: the first one.
        steps_per_epoch: batches in each.
        callbacks: called at the begins and ends of training and epochs; without figures where an
            epoch is one call.
    """
    if measuring.accelerator() is None:
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

    def following() -> list[np.ndarray]:
        return [*map(np.stack, zip(*itertools.islice(given, steps_per_epoch)))]

    every = keras.callbacks.CallbackList([*callbacks], model=model)
    every.on_train_begin()
    with ThreadPoolExecutor(1) as beside:
        ready = beside.submit(following)
        for epoch in range(initial_epoch, epochs):
            every.on_epoch_begin(epoch)
            x, y = ready.result()
            state = [[variable.value for variable in kind] for kind in _variables(model)]
            state = _steps(model, model.optimizer)(state, x, y)
            if epoch + 1 < epochs:
                ready = beside.submit(following)
            variables = itertools.chain(*_variables(model))
            for variable, value in zip(variables, itertools.chain(*state)):
                variable.assign(value)
            every.on_epoch_end(epoch)
    every.on_train_end()


@functools.lru_cache(maxsize=1)
def _steps(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Any:
    """Return state, inputs, targets -> state after a step with each of them.

    It holds as long as the model is compiled with this optimizer.
    """
    import jax

    def steps(state: Any, x: Any, y: Any) -> Any:
        def one(at: Any, state: Any) -> Any:
            return [*map(list, model.train_step(state, (x[at], y[at]))[1])]

        return jax.lax.fori_loop(0, len(x), one, state)

    return jax.jit(steps)


def _variables(model: keras.Model) -> tuple[list[keras.Variable], ...]:
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
