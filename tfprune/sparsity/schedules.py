"""Schedules: optimizer step -> sparsity, and the steps at which masks are updated.

A schedule is a callable with one more question it can answer: when is the next update? Steps are
optimizer updates completed, so step 0 is the state before the first update. Masks are updated at
`begin_step`, `begin_step + frequency`, ..., and always at `end_step`, so that the last update
lands on the final sparsity even where `frequency` does not divide the span. In place of steps a
schedule takes shares of a training; it asks for nothing until its steps are known.

Source: Zhu & Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model
compression", arXiv 1710.01878, equation 1.
"""

import dataclasses
import numbers

import keras

from tfprune.sparsity.update_steps import (
    FAR,
    BriefShares,
    FromFunction,
    Schedule,
    Spanned,
    require_span,
    set_defaults,
)
from tfprune.support.array_arguments import require_step
from tfprune.support.configurable import Configurable
from tfprune.support.validation import (
    require_integer,
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
@dataclasses.dataclass(frozen=True, repr=False)
class PolynomialDecay(Spanned, Configurable):
    """Sparsity that rises fast at first and levels off: the cubic schedule of Zhu & Gupta.

    s_t = s_f + (s_i - s_f) (1 - (t - begin_step) / (end_step - begin_step))^power

    Args:
        initial_sparsity: s_i, fraction in [0, 1) asked for up to and including `begin_step`.
        final_sparsity: s_f, fraction in [0, 1), at least `initial_sparsity`; reached at
            `end_step` and kept afterwards.
        begin_step: optimizer step of the first mask update, >= 0.
        end_step: optimizer step of the last mask update, > `begin_step`.
        power: exponent, > 0; 3 in the paper.
        frequency: optimizer steps between two mask updates (the paper's Δt), >= 1. The default is
            100 steps, or about 100 updates where `begin` and `end` are shares.
        begin, end: the same as shares of a training, 0 <= begin < end <= 1, in place of steps:
            `UpdatePruningStep` lays the schedule out over the coming `fit`. 0.1 and 0.7 where there
            are no steps either.

    Raises:
        TypeError: for a step that is not an integer or a sparsity that is not a number.
        ValueError: for a value outside its range.

    Example:
        >>> schedule = PolynomialDecay(0.0, 0.8, begin_step=0, end_step=100, frequency=25)
        >>> [round(schedule(step), 4) for step in (0, 25, 50, 75, 100)]
        [0.0, 0.4625, 0.7, 0.7875, 0.8]
        >>> laid_out = PolynomialDecay(0.0, 0.8, begin=0.2, end=0.7).over(1000)
        >>> laid_out.begin_step, laid_out.end_step, laid_out.frequency
        (200, 700, 5)
    """

    initial_sparsity: float
    final_sparsity: float
    begin_step: int | None = None
    end_step: int | None = None
    power: float = 3
    frequency: int | None = None
    begin: float | None = dataclasses.field(default=None, kw_only=True)
    end: float | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        require_sparsity("initial_sparsity", self.initial_sparsity)
        require_sparsity("final_sparsity", self.final_sparsity)
        if self.begin_step is None and self.end_step is None:
            set_defaults(self, begin=0.1, end=0.7)
        require_span(self, begin_step=None, end_step=None)
        if self.is_open:
            if self.frequency is not None:
                require_integer("frequency", self.frequency, minimum=1)
        else:
            set_defaults(self, frequency=100)
            self._require_steps()
        if self.initial_sparsity > self.final_sparsity:
            raise ValueError(
                "`initial_sparsity` must be <= `final_sparsity`. Received: "
                f"initial_sparsity={self.initial_sparsity}, final_sparsity={self.final_sparsity}."
            )
        require_number("power", self.power, above=0.0)

    def _require_steps(self) -> None:
        begin = require_integer("begin_step", self.begin_step, minimum=0)
        end = require_integer("end_step", self.end_step, minimum=0)
        require_integer("frequency", self.frequency, minimum=1)
        if end <= begin:
            raise ValueError(
                "`end_step` must be greater than `begin_step`; use `OneShot` to prune in one "
                f"step. Received: begin_step={begin}, end_step={end}."
            )

    def __call__(self, step: int) -> float:
        require_step("step", step)
        if self.begin_step is None or self.end_step is None:
            return self.final_sparsity if step >= FAR else self.initial_sparsity
        progress = (step - self.begin_step) / (self.end_step - self.begin_step)
        remaining = 1.0 - min(max(progress, 0.0), 1.0)
        drop = (self.initial_sparsity - self.final_sparsity) * remaining**self.power
        return self.final_sparsity + drop

    def with_final_sparsity(self, sparsity: float) -> "PolynomialDecay":
        """Return the same schedule ending at another sparsity (for per-layer rules)."""
        require_sparsity("sparsity", sparsity)
        return dataclasses.replace(
            self,
            initial_sparsity=min(self.initial_sparsity, sparsity),
            final_sparsity=sparsity,
        )


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True, repr=False)
class ConstantSparsity(Spanned, Configurable):
    """One sparsity from `begin_step` on; masks follow the weights at every update.

    Args:
        target_sparsity: fraction in [0, 1).
        begin_step: optimizer step of the first mask update, >= 0.
        end_step: optimizer step of the last mask update, >= `begin_step`; None (the default)
            goes on updating for as long as training lasts.
        frequency: optimizer steps between two mask updates, >= 1.
        begin, end: as in `PolynomialDecay`; one of them will do.

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
    begin: float | None = dataclasses.field(default=None, kw_only=True)
    end: float | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        require_sparsity("target_sparsity", self.target_sparsity)
        require_span(self, begin_step=0, end_step=None)
        require_integer("begin_step", self.begin_step, minimum=0)
        require_integer("frequency", self.frequency, minimum=1)
        if self.end_step is not None:
            require_integer("end_step", self.end_step, minimum=self.begin_step)

    def __call__(self, step: int) -> float:
        first = FAR if self.is_open else self.begin_step
        return self.target_sparsity if require_step("step", step) >= first else 0.0

    def with_final_sparsity(self, sparsity: float) -> "ConstantSparsity":
        """Return the same schedule at another sparsity (for per-layer rules)."""
        return dataclasses.replace(self, target_sparsity=require_sparsity("sparsity", sparsity))


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True, repr=False)
class OneShot(BriefShares, Configurable):
    """Prune once, at `step`, and never change the masks again.

    Args:
        sparsity: fraction in [0, 1).
        step: optimizer step of the only mask update, >= 0; 0 prunes before training.
        begin: the same as a share of a training, in [0, 1], in place of `step`.

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
    begin: float | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        require_sparsity("sparsity", self.sparsity)
        require_integer("step", self.step, minimum=0)
        require_span(self, step=0)

    @property
    def is_open(self) -> bool:
        """Whether its step is a share of a training that is not known yet."""
        return self.begin is not None

    def over(self, training: int) -> "OneShot":
        """Return it laid out over a training of so many optimizer steps."""
        require_integer("training", training, minimum=1)
        share = self.begin
        return self if share is None else OneShot(self.sparsity, int(share * training))

    def __call__(self, step: int) -> float:
        first = FAR if self.is_open else self.step
        return self.sparsity if require_step("step", step) >= first else 0.0

    def next_update(self, step: int) -> int | None:
        first = FAR if self.is_open else self.step
        return first if require_step("step", step) < first else None

    def with_final_sparsity(self, sparsity: float) -> "OneShot":
        """Return the same schedule at another sparsity (for per-layer rules)."""
        return dataclasses.replace(self, sparsity=require_sparsity("sparsity", sparsity))


def last_step(schedule: Schedule) -> int | None:
    """Return the step of a schedule's last update, None if it goes on or nobody knows.

    Example:
        >>> last_step(OneShot(0.5, step=3)), last_step(ConstantSparsity(0.5))
        (3, None)
    """
    return getattr(schedule, "end_step", getattr(schedule, "step", None))


def final_sparsity(schedule: Schedule) -> float | None:
    """Return the sparsity that a schedule ends at; None where nobody knows, as of a function.

    Example:
        >>> final_sparsity(OneShot(0.5))
        0.5
    """
    if hasattr(schedule, "with_final_sparsity") and not isinstance(schedule, type):
        return schedule(FAR)
    as_schedule(schedule)
    return None


def as_schedule(schedule: object, *, name: str = "schedule") -> Schedule:
    """Return `schedule` as a `Schedule`, wrapping a bare function.

    Args:
        schedule: a schedule object, a callable step -> sparsity, or a sparsity in [0, 1): the
            cubic schedule up to it, from 10 % to 70 % of the coming training.
        name: of the argument, for the error.

    Returns:
        An object with `__call__` and `next_update`.

    Raises:
        TypeError: for anything else, such as a class; ValueError for a number outside [0, 1).

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
    if isinstance(schedule, numbers.Real) and not isinstance(schedule, bool):
        return PolynomialDecay(0.0, require_sparsity(name, schedule))
    raise TypeError(
        f"`{name}` must be a sparsity, a schedule such as `tfprune.ConstantSparsity(0.5)`, or a "
        "function step -> sparsity. "
        f"Received: {name}={schedule!r} (of type {type(schedule).__name__})."
    )
