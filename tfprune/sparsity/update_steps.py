"""What a schedule has to answer: which sparsity at a step, and when the next update is."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, Self, TypeGuard, runtime_checkable

import keras

from tfprune.support.array_arguments import require_step
from tfprune.support.configurable import Config, Configurable
from tfprune.support.validation import (
    require_integer,
    require_mapping,
    require_number,
    require_sparsity,
)

FAR = 2**31  # a step that no training gets to: where schedules are asked for their end
_UPDATES = 100  # about as many between begin and end where these are shares


@runtime_checkable
class Schedule(Protocol):
    """What the callback asks of a schedule; any object with these two methods will do."""

    def __call__(self, step: int) -> float:
        """Return the sparsity, in [0, 1), asked for after `step` optimizer updates."""

    def next_update(self, step: int) -> int | None:
        """Return the first update step greater than `step`; None when there is none.

        Pass -1 for the first update step of all.
        """


def next_in_span(step: int, begin: int, end: int | None, frequency: int) -> int | None:
    """Return the first of begin, begin + frequency, ..., end (both included) after `step`.

    Example:
        >>> [next_in_span(step, 0, 25, 10) for step in (-1, 0, 20, 25)]
        [0, 10, 25, None]
    """
    if require_step("step", step) < begin:
        return begin
    if end is not None and step >= end:
        return None
    following = begin + ((step - begin) // frequency + 1) * frequency
    return following if end is None else min(following, end)


@runtime_checkable
class LaidOutLater(Schedule, Protocol):
    """A schedule that can begin or end at a share of a training."""

    @property
    def is_open(self) -> bool:
        """Whether it does, and its steps are not known yet."""

    def over(self, training: int) -> Schedule:
        """Return it laid out over a training of so many optimizer steps."""


def is_open(schedule: object) -> TypeGuard[LaidOutLater]:
    """Return whether the steps of a schedule are not known yet.

    Example:
        >>> is_open(FromFunction(lambda step: 0.5, begin=0.25)), is_open(None)
        (True, False)
    """
    return isinstance(schedule, LaidOutLater) and schedule.is_open


class BriefShares:
    """Mixin of dataclasses: `repr` leaves out keyword-only fields, the shares, that are None."""

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # a dataclass has it
        pairs = [(f.name, getattr(self, f.name), f.kw_only) for f in fields]
        shown = [f"{n}={value!r}" for n, value, only in pairs if not only or value is not None]
        return f"{type(self).__name__}({', '.join(shown)})"


class Spanned(BriefShares):
    """Mixin of schedules with begin_step, end_step and frequency, or `begin` and `end` as shares.

    As long as the length of the training is not known, the next update is `FAR`.
    """

    begin: float | None
    end: float | None
    begin_step: Any
    end_step: Any
    frequency: Any

    @property
    def is_open(self) -> bool:
        """Whether it begins or ends at a share of a training that is not known yet."""
        return self.begin is not None or self.end is not None

    def over(self, training: int) -> Self:
        """Return it laid out over a training of so many optimizer steps.

        Args:
            training: optimizer steps, >= 1.

        Example:
            >>> laid_out = FromFunction(lambda step: 0.5, begin=0.25).over(1000)
            >>> laid_out.begin_step, laid_out.end_step, laid_out.frequency
            (250, None, 1)
        """
        require_integer("training", training, minimum=1)
        if not self.is_open:
            return self
        first = int((self.begin or 0.0) * training)
        last = None if self.end is None else max(first + 1, int(self.end * training))
        every = self.frequency or max(1, ((last or training) - first) // _UPDATES)
        steps = {"begin_step": first, "end_step": last, "frequency": every}
        return dataclasses.replace(self, **steps, begin=None, end=None)  # type: ignore[type-var]

    def next_update(self, step: int) -> int | None:
        """Return the first update step greater than `step`, None if there is none."""
        if self.is_open:
            return FAR if require_step("step", step) < FAR else None
        return next_in_span(step, self.begin_step, self.end_step, self.frequency)


def require_span(schedule: Any, **defaults: object) -> None:
    """Raise unless `begin` and `end` of a schedule are shares in order, and it has no steps beside.

    Args:
        schedule: with an attribute `begin`, and `end` or none.
        **defaults: its attributes in steps, with the values that they have if they are not given.
    """
    begin, end = schedule.begin, getattr(schedule, "end", None)
    if begin is None and end is None:
        return
    for name, share in (("begin", begin), ("end", end)):
        if share is not None and not 0.0 <= require_number(name, share) <= 1.0:
            raise ValueError(
                f"`{name}` must be a share of the training, in [0, 1]. Received: {name}={share!r}."
            )
    if end is not None and (begin or 0.0) >= end:
        raise ValueError(f"`end` must be > `begin`. Received: begin={begin!r}, end={end!r}.")
    given = {name: value for name, value in vars(schedule).items() if name in defaults}
    both = [f"{name}={value!r}" for name, value in given.items() if value != defaults[name]]
    if both:
        raise ValueError(
            "A schedule must have steps or shares of a training, not both. Received: "
            f"{', '.join(both)}, begin={begin!r}{'' if end is None else f', end={end!r}'}."
        )


def set_defaults(schedule: object, **values: object) -> None:
    """Set attributes of a frozen dataclass that are None, while it is made."""
    for name, value in values.items():
        if getattr(schedule, name) is None:
            object.__setattr__(schedule, name, value)


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True, repr=False)
class FromFunction(Spanned, Configurable):
    """A schedule from any function `step -> sparsity`.

    A bare function passed as `schedule` means `FromFunction(function)`: masks are updated after
    every optimizer step. Give a larger `frequency` to update less often.

    Args:
        function: callable, optimizer step (int) -> sparsity in [0, 1). To save the model, register
            it with `keras.saving.register_keras_serializable`.
        begin_step: optimizer step of the first mask update, >= 0.
        end_step: optimizer step of the last mask update, >= `begin_step`; None goes on forever.
        frequency: optimizer steps between two mask updates, >= 1.
        begin, end: as in `PolynomialDecay`; one of them will do. The function is given steps.

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
    begin: float | None = dataclasses.field(default=None, kw_only=True)
    end: float | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(
                "`function` must be callable, step -> sparsity. "
                f"Received: function={self.function!r} (of type {type(self.function).__name__})."
            )
        require_span(self, begin_step=0, end_step=None)
        require_integer("begin_step", self.begin_step, minimum=0)
        require_integer("frequency", self.frequency, minimum=1)
        if self.end_step is not None:
            require_integer("end_step", self.end_step, minimum=self.begin_step)

    def __call__(self, step: int) -> float:
        require_step("step", step)
        return require_sparsity(f"schedule({step})", self.function(step))

    def get_config(self) -> Config:
        function = keras.saving.serialize_keras_object(self.function)
        return {**super().get_config(), "function": function}

    @classmethod
    def from_config(cls, config: Config) -> "FromFunction":
        function = keras.saving.deserialize_keras_object(
            require_mapping("config", config)["function"]
        )
        return cls(**{**config, "function": function})
