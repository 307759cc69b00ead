"""Running a mask update inside Keras's training step, on every backend."""

from collections.abc import Callable
from typing import Any

import keras

from tfprune.wrapping.mask_update import LiveVariables, Variables

Step = Callable[..., Any]


def followed_by(train_function: Step, update: Callable[[Variables], None], model: Any) -> Step:
    """Return Keras's compiled training step followed by a mask update.

    Updating here rather than in `on_train_batch_end` means that every callback, whatever its place
    in the list, sees the model at the sparsity asked for. On JAX the step maps a training state to
    a new one, and the masks are updated in that state.

    Args:
        train_function: `model.train_function` as Keras made it.
        update: called after each step with the place where the values of variables live.
        model: the model that is trained.
    """

    def step(iterator: Any) -> Any:
        logs = train_function(iterator)
        update(LiveVariables())
        return logs

    def jax_step(state: Any, iterator: Any) -> Any:
        logs, state = train_function(state, iterator)
        values = _JaxState(model, state)
        update(values)
        return logs, values.state

    return jax_step if keras.config.backend() == "jax" else step


class _JaxState:
    """Values in the tuple of lists that Keras's JAX trainer hands from step to step."""

    def __init__(self, model: Any, state: tuple[Any, ...]):
        self.state = tuple(list(values) for values in state)
        owners = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
        )
        self._place = {
            id(variable): (part, index)
            for part, variables in enumerate(owners)
            for index, variable in enumerate(variables)
        }

    def read(self, variable: keras.Variable) -> Any:
        part, index = self._place[id(variable)]
        return self.state[part][index]

    def write(self, variable: keras.Variable, value: Any) -> None:
        part, index = self._place[id(variable)]
        self.state[part][index] = value
