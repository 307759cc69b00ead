"""How many optimizer updates have been completed, read from whatever counts them."""

import warnings
from collections.abc import Callable
from typing import Union

import keras

from tfprune.support.arrays import host_array, known_integer
from tfprune.support.validation import require_integer
from tfprune.wrapping.mask_update import LiveVariables, Variables

# An optimizer, or what else counts its updates.
Counting = Union[keras.optimizers.Optimizer, keras.Variable, Callable[[], int]]


_IDLE = 50  # more than the steps that a loss scale skips until it fits


class StepCounter:
    """The number of optimizer updates completed; a gradient accumulation counts once.

    Args:
        optimizer: a Keras optimizer, a `LossScaleOptimizer` too; or what else counts the updates:
            an integer `keras.Variable`, or a function of no arguments that returns their number.

    Raises:
        TypeError: if it is none of these.

    Example:
        >>> StepCounter(keras.optimizers.SGD(gradient_accumulation_steps=4)).batches
        4
        >>> StepCounter(lambda: 7)()
        7
    """

    def __init__(self, optimizer: Counting):
        self.batches = 1  # that make an update
        self._idle = 0
        self._scaling: keras.optimizers.Optimizer | None = None
        self._function: Callable[[], int] | None = None
        if isinstance(optimizer, keras.optimizers.Optimizer):
            inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
            self._count = next(v for v in inner.variables if v.name == "iteration")
            self._scaling = optimizer if inner is not optimizer else None
            self.batches = inner.gradient_accumulation_steps or 1
        elif isinstance(optimizer, keras.Variable):
            self._count = optimizer
        elif callable(optimizer) and not isinstance(optimizer, type):
            self._function = optimizer
        else:
            raise TypeError(
                "`optimizer` must be a Keras optimizer, a keras.Variable or a function that counts "
                f"its updates. Received: optimizer={optimizer!r} "
                f"(of type {type(optimizer).__name__})."
            )

    def __call__(self, variables: Variables = LiveVariables()) -> int:
        """Return the number of updates completed.

        Args:
            variables: where the values of variables live.

        Raises:
            ValueError: inside a compiled function, which has no values.
        """
        if self._function is not None:
            return int(self._function())
        return read_integer(self._count, variables) // self.batches

    def begun_at(self, completed: int | None) -> int:
        """Return the number of updates completed as the user gave it; that of now where None."""
        if completed is None:
            return self()
        return require_integer("completed", completed, minimum=0)

    def note(self, moved: bool, waited_for: Callable[[], int | None]) -> None:
        """Take down whether the number had changed where that was to be expected; warn if never.

        Args:
            moved: since the time before.
            waited_for: the step that something is to be done at, None if nothing is.
        """
        self._idle = 0 if moved else self._idle + 1
        if self._idle == _IDLE * self.batches and waited_for() is not None:
            warnings.warn(
                f"{self._idle} updates in a row have seen no optimizer step, so no mask changes. "
                "Update after each step, tell what counts the steps (`optimizer`), and in a loop "
                "that hands state from step to step, as with `stateless_apply`, write the state "
                "back to the variables before the update.",
                stacklevel=3,
            )

    def signs(self) -> tuple[float, ...]:
        """Return values of which some change when the optimizer is at work, update or not."""
        if self._function is not None:
            return (int(self._function()),)
        watched = [self._count]
        if self._scaling is not None:  # the scale moves even where no update can be made
            watched += [v for v in self._scaling.variables if len(v.shape) == 0]
        return tuple(host_array(variable.value).item() for variable in watched)


def read_integer(variable: keras.Variable, variables: Variables) -> int:
    """Return the value of a scalar variable.

    Args:
        variable: the variable.
        variables: where values live.

    Raises:
        ValueError: inside a compiled function, which has no values.

    Example:
        >>> read_integer(keras.Variable(3, dtype="int32"), LiveVariables())
        3
    """
    found = known_integer(variables.read(variable))
    if found is None:
        raise ValueError(
            "Mask updates must be made outside of compiled functions (tf.function, jax.jit), after "
            f"the optimizer step. Received: '{variable.path}', which has no value here."
        )
    return found
