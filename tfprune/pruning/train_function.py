"""Running a mask update inside Keras's training step, on every backend."""

from collections.abc import Callable, Iterator
from typing import Any

import keras

from tfprune.keras_graph.private_keras import sublayers, write_back_jax_state
from tfprune.support.by_identity import ByIdentity
from tfprune.support.tensors import Tensor
from tfprune.wrapping.mask_update import LiveVariables, Variables
from tfprune.wrapping.pruned_layer import PrunedLayer
from tfprune.wrapping.training_guard import require_updaters

Step = Callable[..., Any]  # (iterator) -> logs, on JAX (state, iterator) -> (logs, state)
JaxState = tuple[list[Tensor], ...]


def followed_by(
    train_function: Step, update: Callable[[Variables], None], model: keras.Model
) -> Step:
    """Return Keras's compiled training step followed by a mask update.

    Updating here rather than in `on_train_batch_end` means that every callback, whatever its place
    in the list, sees the model at the sparsity asked for. On JAX the step maps a training state to
    a new one, and the masks are updated in that state.

    Args:
        train_function: `model.train_function` as Keras made it.
        update: called after each step with the place where the values of variables live.
        model: the model that is trained.
    """

    def step(iterator: Iterator[object]) -> object:
        _build_optimizer(model)
        logs = train_function(iterator)
        update(LiveVariables())
        return logs

    def jax_step(state: JaxState, iterator: Iterator[object]) -> tuple[object, JaxState]:
        logs, state = train_function(state, iterator)
        values = _JaxState(model, state)
        try:
            update(values)
        except BaseException:  # the state before the step is gone; Keras has not got this one yet
            write_back_jax_state(model, values.state)
            raise
        return logs, values.state

    found: Any = jax_step if keras.config.backend() == "jax" else step
    found.plain, found.updates = train_function, True
    return found


def plain_function(train_function: Step) -> Step:
    """Return the training step as Keras made it, of one that was wrapped here.

    Example:
        >>> plain_function(after_training(len, [])) is len
        True
    """
    return getattr(train_function, "plain", train_function)


def after_training(train_function: Step, layers: list[PrunedLayer]) -> Step:
    """Return what is to take the place of `model.train_function` when a callback lets go of it.

    Args:
        train_function: as the callback found it. One that updates masks stays: it is that of a
            surrounding `fit`, or of one that was interrupted.
        layers: the pruned layers of the model. While masks are not finished, as where another
            callback restores those of an earlier step, training without updates is refused: a
            layer says so itself while the step is traced, but this one has been.
    """
    if getattr(train_function, "updates", False):
        return train_function
    plain = plain_function(train_function)

    def step(*arguments: object) -> object:
        require_updaters(layers)
        return plain(*arguments)

    found: Any = step
    found.plain = plain
    return found


def _build_optimizer(model: keras.Model) -> None:
    """Make what the optimizer remembers of each weight before Keras's step does.

    TensorFlow traces a step that makes variables twice, and each of them in a condition: the first
    step with Adam takes half the time without.
    """
    optimizer = model.optimizer
    if optimizer is None or optimizer.built or type(model).train_step is not keras.Model.train_step:
        return  # a step of the user's own may train other weights
    strategy = getattr(model, "distribute_strategy", None)
    several = strategy is not None and strategy.num_replicas_in_sync > 1
    if not several and all(layer.built for layer in sublayers(model)):
        optimizer.build(model.trainable_variables)


class _JaxState:
    """Values in the tuple of lists that Keras's JAX trainer hands from step to step."""

    def __init__(self, model: keras.Model, state: JaxState):
        self.state = tuple(list(values) for values in state)
        self._owners = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
        )
        self._place = ByIdentity(
            (variable, (part, index))
            for part, variables in enumerate(self._owners)
            for index, variable in enumerate(variables)
        )

    def read(self, variable: keras.Variable) -> Tensor:
        if variable not in self._place:  # a step counter of the user's own
            return variable.value
        part, index = self._place[variable]
        return self.state[part][index]

    def write(self, variable: keras.Variable, value: Tensor) -> None:
        part, index = self._place[variable]
        self.state[part][index] = value

    def show(self) -> None:
        for variables, values in zip(self._owners, self.state):
            for variable, value in zip(variables, values):
                variable.assign(value)
