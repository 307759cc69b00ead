"""Schedules: optimizer step -> sparsity, and the steps at which masks are updated.

A schedule is a callable with one more question it can answer: when is the next update? Steps are
optimizer updates completed, so step 0 is the state before the first update. Masks are updated at
`begin_step`, `begin_step + frequency`, ..., and always at `end_step`, so that the last update
lands on the final sparsity even where `frequency` does not divide the span.

Source: Zhu & Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model
compression", arXiv 1710.01878, equation 1.
"""

import dataclasses
from collections.abc import Callable

import keras

from tfprune.sparsity.update_steps import Schedule, next_in_span
from tfprune.support.array_arguments import require_step
from tfprune.support.configurable import Config, Configurable
from tfprune.support.validation import (
    require_integer,
    require_mapping,
    require_number,
    require_sparsity,
    require_text,
)

__all__ = [
    "ConstantSparsity",
    "FromFunction",
    "OneShot",
    "PolynomialDecay",
    "Schedule",
    "as_schedule",
    "final_sparsity",
]


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class PolynomialDecay(Configurable):
    """Sparsity that rises fast at first and levels off: the cubic schedule of Zhu & Gupta.

    s_t = s_f + (s_i - s_f) (1 - (t - begin_step) / (end_step - begin_step))^power

    Args:
        initial_sparsity: s_i, fraction in [0, 1) asked for up to and including `begin_step`.
        final_sparsity: s_f, fraction in [0, 1), at least `initial_sparsity`; reached at
            `end_step` and kept afterwards.
        begin_step: optimizer step of the first mask update, >= 0.
        end_step: optimizer step of the last mask update, > `begin_step`.
        power: exponent, > 0; 3 in the paper.
        frequency: optimizer steps between two mask updates (the paper's Δt), >= 1.

    Raises:
        TypeError: for a step that is not an integer or a sparsity that is not a number.
        ValueError: for a value outside its range.

    Example:
        >>> schedule = PolynomialDecay(0.0, 0.8, begin_step=0, end_step=100, frequency=25)
        >>> [round(schedule(step), 4) for step in (0, 25, 50, 75, 100)]
        [0.0, 0.4625, 0.7, 0.7875, 0.8]
    """

    initial_sparsity: float
    final_sparsity: float
    begin_step: int
    end_step: int
    power: float = 3
    frequency: int = 100

    def __post_init__(self) -> None:
        require_sparsity("initial_sparsity", self.initial_sparsity)
        require_sparsity("final_sparsity", self.final_sparsity)
        require_integer("begin_step", self.begin_step, minimum=0)
        require_integer("end_step", self.end_step, minimum=0)
        require_integer("frequency", self.frequency, minimum=1)
        if self.end_step <= self.begin_step:
            raise ValueError(
                "`end_step` must be greater than `begin_step`; use `OneShot` to prune in one "
                f"step. Received: begin_step={self.begin_step}, end_step={self.end_step}."
            )
        if self.initial_sparsity > self.final_sparsity:
            raise ValueError(
                "`initial_sparsity` must be <= `final_sparsity`. Received: "
                f"initial_sparsity={self.initial_sparsity}, final_sparsity={self.final_sparsity}."
            )
        require_number("power", self.power, above=0.0)

    def __call__(self, step: int) -> float:
        progress = (require_step("step", step) - self.begin_step) / (
            self.end_step - self.begin_step
        )
        remaining = 1.0 - min(max(progress, 0.0), 1.0)
        drop = (self.initial_sparsity - self.final_sparsity) * remaining**self.power
        return self.final_sparsity + drop

    def next_update(self, step: int) -> int | None:
        return next_in_span(step, self.begin_step, self.end_step, self.frequency)

    def with_final_sparsity(self, sparsity: float) -> "PolynomialDecay":
        """Return the same schedule ending at another sparsity (for per-layer rules)."""
        require_sparsity("sparsity", sparsity)
        return dataclasses.replace(
            self,
            initial_sparsity=min(self.initial_sparsity, sparsity),
            final_sparsity=sparsity,
        )


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class ConstantSparsity(Configurable):
    """One sparsity from `begin_step` on; masks follow the weights at every update.

    Args:
        target_sparsity: fraction in [0, 1).
        begin_step: optimizer step of the first mask update, >= 0.
        end_step: optimizer step of the last mask update, >= `begin_step`; None (the default)
            goes on updating for as long as training lasts.
        frequency: optimizer steps between two mask updates, >= 1.

    Raises:
        TypeError: for a step that is not an integer or a sparsity that is not a number.
        ValueError: for a value outside its range.

    Example:
        >>> schedule = ConstantSparsity(0.5, begin_step=10, frequency=100)
        >>> schedule(10), schedule.next_update(-1), schedule.next_update(10)
        (0.5, 10, 110)
    """

    target_sparsity: float
    begin_step: int = 0
    end_step: int | None = None
    frequency: int = 100

    def __post_init__(self) -> None:
        require_sparsity("target_sparsity", self.target_sparsity)
        require_integer("begin_step", self.begin_step, minimum=0)
        require_integer("frequency", self.frequency, minimum=1)
        if self.end_step is not None:
            require_integer("end_step", self.end_step, minimum=self.begin_step)

    def __call__(self, step: int) -> float:
        return self.target_sparsity if require_step("step", step) >= self.begin_step else 0.0

    def next_update(self, step: int) -> int | None:
        return next_in_span(step, self.begin_step, self.end_step, self.frequency)

    def with_final_sparsity(self, sparsity: float) -> "ConstantSparsity":
        """Return the same schedule at another sparsity (for per-layer rules)."""
        return dataclasses.replace(self, target_sparsity=require_sparsity("sparsity", sparsity))


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class OneShot(Configurable):
    """Prune once, at `step`, and never change the masks again.

    Args:
        sparsity: fraction in [0, 1).
        step: optimizer step of the only mask update, >= 0; 0 prunes before training.

    Raises:
        TypeError: for a step that is not an integer or a sparsity that is not a number.
        ValueError: for a value outside its range.

    Example:
        >>> schedule = OneShot(0.5, step=10)
        >>> schedule(9), schedule(10), schedule.next_update(10)
        (0.0, 0.5, None)
    """

    sparsity: float
    step: int = 0

    def __post_init__(self) -> None:
        require_sparsity("sparsity", self.sparsity)
        require_integer("step", self.step, minimum=0)

    def __call__(self, step: int) -> float:
        return self.sparsity if require_step("step", step) >= self.step else 0.0

    def next_update(self, step: int) -> int | None:
        return self.step if require_step("step", step) < self.step else None

    def with_final_sparsity(self, sparsity: float) -> "OneShot":
        """Return the same schedule at another sparsity (for per-layer rules)."""
        return dataclasses.replace(self, sparsity=require_sparsity("sparsity", sparsity))


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class FromFunction(Configurable):
    """A schedule from any function `step -> sparsity`.

    A bare function passed as `schedule` means `FromFunction(function)`: masks are updated after
    every optimizer step. Give a larger `frequency` to update less often.

    Args:
        function: callable, optimizer step (int) -> sparsity in [0, 1). To save the model, register
            it with `keras.saving.register_keras_serializable`.
        begin_step: optimizer step of the first mask update, >= 0.
        end_step: optimizer step of the last mask update, >= `begin_step`; None goes on forever.
        frequency: optimizer steps between two mask updates, >= 1.

    Raises:
        TypeError: if `function` is not callable, a step is not an integer, or the function
            returns something that is no number.
        ValueError: for a value outside its range, the function's results included.

    Example:
        >>> schedule = FromFunction(lambda step: min(0.9, step / 1000), frequency=10)
        >>> schedule(500), schedule.next_update(500)
        (0.5, 510)
    """

    function: Callable[[int], float]
    begin_step: int = 0
    end_step: int | None = None
    frequency: int = 1

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(
                "`function` must be callable, step -> sparsity. "
                f"Received: function={self.function!r} (of type {type(self.function).__name__})."
            )
        require_integer("begin_step", self.begin_step, minimum=0)
        require_integer("frequency", self.frequency, minimum=1)
        if self.end_step is not None:
            require_integer("end_step", self.end_step, minimum=self.begin_step)

    def __call__(self, step: int) -> float:
        require_step("step", step)
        return require_sparsity(f"schedule({step})", self.function(step))

    def next_update(self, step: int) -> int | None:
        return next_in_span(step, self.begin_step, self.end_step, self.frequency)

    def get_config(self) -> Config:
        return {
            "function": keras.saving.serialize_keras_object(self.function),
            "begin_step": self.begin_step,
            "end_step": self.end_step,
            "frequency": self.frequency,
        }

    @classmethod
    def from_config(cls, config: Config) -> "FromFunction":
        function = keras.saving.deserialize_keras_object(
            require_mapping("config", config)["function"]
        )
        return cls(**{**config, "function": function})


def final_sparsity(schedule: Schedule) -> float | None:
    """Return the sparsity that a schedule ends at; None where nobody knows, as of a function.

    Example:
        >>> final_sparsity(OneShot(0.5))
        0.5
    """
    if hasattr(schedule, "with_final_sparsity") and not isinstance(schedule, type):
        return schedule(2**31)
    as_schedule(schedule)
    return None


def as_schedule(schedule: object, *, name: str = "schedule") -> Schedule:
    """Return `schedule` as a `Schedule`, wrapping a bare function.

    Args:
        schedule: a schedule object, or a callable step -> sparsity.
        name: of the argument, for the error.

    Returns:
        An object with `__call__` and `next_update`.

    Raises:
        TypeError: for anything else, such as a number.

    Example:
        >>> as_schedule(lambda step: 0.5)(3)
        0.5
    """
    require_text("name", name)
    if isinstance(schedule, type):
        raise TypeError(f"`{name}` must be an instance. Received: {name}={schedule!r}.")
    if isinstance(schedule, Schedule):
        return schedule
    if callable(schedule):
        return FromFunction(schedule)
    raise TypeError(
        f"`{name}` must be a schedule such as `tfprune.ConstantSparsity(0.5)` or a function "
        f"step -> sparsity. Received: {name}={schedule!r} (of type {type(schedule).__name__})."
    )
