"""Schedules in the form `step -> (should_prune, sparsity)`, and their translation to the core's."""

import abc
import dataclasses
import numbers
from typing import Self

import keras

from tfprune.sparsity import schedules
from tfprune.support.array_arguments import require_step
from tfprune.support.configurable import Config
from tfprune.support.validation import require_integer, require_mapping, require_sparsity

_HORIZON = 10_000  # steps that a schedule of the user's is asked about in advance


class PruningSchedule(abc.ABC):
    """Base class for schedules of your own: when to prune, and to which sparsity.

    `schedule(step)` must depend on `step` alone: it is called with steps yet to come (Python
    integers, from 0) in order to find the next update. To save a pruned model, register the
    class with `keras.saving.register_keras_serializable`.

    Example:
        >>> class EveryTenth(PruningSchedule):
        ...     def __call__(self, step):
        ...         return self._should_prune_in_step(step, 0, 50, 10), 0.5
        ...     def get_config(self):
        ...         return {"class_name": "EveryTenth", "config": {}}
        >>> EveryTenth()(20)
        (True, 0.5)
    """

    @abc.abstractmethod
    def __call__(self, step: int) -> tuple[bool, float]:
        """Return (whether masks are updated at `step`, sparsity as a fraction in [0, 1))."""

    @abc.abstractmethod
    def get_config(self) -> Config:
        """Return {"class_name": name of the class, "config": arguments of its constructor}."""

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Return a schedule made from the "config" entry of `get_config()`."""
        return cls(**require_mapping("config", config))

    def _should_prune_in_step(
        self, step: int, begin_step: int, end_step: int, frequency: int
    ) -> bool:
        """Return whether `step` is begin, begin + frequency, ..., or end (-1: no end)."""
        end = None if end_step < 0 else end_step
        inside = step >= begin_step and (end is None or step <= end)
        return bool(inside and ((step - begin_step) % frequency == 0 or step == end))

    def _validate_step(
        self, begin_step: int, end_step: int, frequency: int, allow_negative_1: bool
    ) -> None:
        """Raise unless 0 <= begin <= end and frequency >= 1; end may be -1 where allowed."""
        require_integer("begin_step", begin_step, minimum=0)
        require_integer("frequency", frequency, minimum=1)
        if not (allow_negative_1 and end_step == -1):
            require_integer("end_step", end_step, minimum=begin_step)

    def _validate_sparsity(self, sparsity: float, variable_name: str) -> None:
        """Raise unless `sparsity` is in [0, 1)."""
        require_sparsity(variable_name, sparsity)


class ConstantSparsity(PruningSchedule):
    """One sparsity at every update: `tfprune.ConstantSparsity` in the other package's form.

    Args:
        target_sparsity: fraction in [0, 1).
        begin_step: optimizer step of the first mask update, >= 0.
        end_step: optimizer step of the last mask update, >= `begin_step`; -1 goes on forever.
        frequency: optimizer steps between two mask updates, >= 1.

    Raises:
        TypeError: for a step that is not an integer or a sparsity that is not a number.
        ValueError: for a value outside its range.

    Example:
        >>> ConstantSparsity(0.5, 0)(100)
        (True, 0.5)
    """

    def __init__(
        self, target_sparsity: float, begin_step: int, end_step: int = -1, frequency: int = 100
    ):
        self._validate_step(begin_step, end_step, frequency, True)
        self._validate_sparsity(target_sparsity, "target_sparsity")
        self.target_sparsity = float(target_sparsity)
        self.begin_step = int(begin_step)
        self.end_step = int(end_step)
        self.frequency = int(frequency)

    def __call__(self, step: int) -> tuple[bool, float]:
        require_step("step", step)
        span = (self.begin_step, self.end_step, self.frequency)
        return self._should_prune_in_step(step, *span), self.target_sparsity

    def get_config(self) -> Config:
        names = ("target_sparsity", "begin_step", "end_step", "frequency")
        return _named_config(self, names)

    def to_core(self) -> schedules.ConstantSparsity:
        """Return the same schedule in the core's form."""
        return schedules.ConstantSparsity(
            self.target_sparsity,
            begin_step=self.begin_step,
            end_step=None if self.end_step == -1 else self.end_step,
            frequency=self.frequency,
        )


class PolynomialDecay(PruningSchedule):
    """The cubic schedule: `tfprune.PolynomialDecay` in the other package's form.

    Args:
        initial_sparsity: fraction in [0, 1) at `begin_step`.
        final_sparsity: fraction in [0, 1), at least `initial_sparsity`, reached at `end_step`.
        begin_step: optimizer step of the first mask update, >= 0.
        end_step: optimizer step of the last mask update, > `begin_step`.
        power: exponent, > 0.
        frequency: optimizer steps between two mask updates, >= 1.

    Raises:
        TypeError: for a step that is not an integer or a sparsity that is not a number.
        ValueError: for a value outside its range.

    Example:
        >>> schedule = PolynomialDecay(0.0, 0.8, begin_step=0, end_step=250, frequency=100)
        >>> schedule(200)[0], schedule(240)[0], schedule(250)
        (True, False, (True, 0.8))
    """

    def __init__(
        self,
        initial_sparsity: float,
        final_sparsity: float,
        begin_step: int,
        end_step: int,
        power: float = 3,
        frequency: int = 100,
    ):
        self._validate_step(begin_step, end_step, frequency, False)
        self._validate_sparsity(initial_sparsity, "initial_sparsity")
        self._validate_sparsity(final_sparsity, "final_sparsity")
        self.initial_sparsity = float(initial_sparsity)
        self.final_sparsity = float(final_sparsity)
        self.power = power
        self.begin_step = int(begin_step)
        self.end_step = int(end_step)
        self.frequency = int(frequency)
        self.to_core()  # the core has the remaining checks

    def __call__(self, step: int) -> tuple[bool, float]:
        require_step("step", step)
        span = (self.begin_step, self.end_step, self.frequency)
        return self._should_prune_in_step(step, *span), self.to_core()(int(step))

    def get_config(self) -> Config:
        names = ("initial_sparsity", "final_sparsity", "power", *_STEPS)
        return _named_config(self, names)

    def to_core(self) -> schedules.PolynomialDecay:
        """Return the same schedule in the core's form."""
        return schedules.PolynomialDecay(**self.get_config()["config"])


_STEPS = ("begin_step", "end_step", "frequency")


def _named_config(schedule: PruningSchedule, names: tuple[str, ...]) -> Config:
    config = {name: getattr(schedule, name) for name in names}
    return {"class_name": type(schedule).__name__, "config": config}


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class CustomSchedule:
    """A user's `PruningSchedule` in the core's form.

    Args:
        schedule: step -> (should_prune, sparsity).
        limit: sparsity that is never exceeded, whatever `schedule` asks; None for no limit.

    Raises:
        ValueError: if `schedule` asks for a sparsity outside [0, 1).

    Example:
        >>> core = CustomSchedule(ConstantSparsity(0.5, begin_step=3, frequency=10))
        >>> core.next_update(-1), core.next_update(3), core(3)
        (3, 13, 0.5)
    """

    schedule: PruningSchedule
    limit: float | None = None
    _idle: list[int] = dataclasses.field(
        default_factory=lambda: [0, 0], repr=False, compare=False
    )  # no update at any step in [_idle[0], _idle[1])

    def __call__(self, step: int) -> float:
        name = f"{type(self.schedule).__name__}({step})[1]"
        sparsity = require_sparsity(name, float(self.schedule(step)[1]))
        return sparsity if self.limit is None else min(sparsity, self.limit)

    def next_update(self, step: int) -> int | None:
        """Return the next update step; None if there is none in the next 10,000 steps."""
        first, last = self._idle
        if not first <= step + 1 <= last:
            first = last = step + 1
        end = step + 1 + _HORIZON
        while last < end and not self.schedule(last)[0]:
            last += 1
        self._idle[:] = first, last
        return last if last < end else None

    def get_config(self) -> Config:
        config = self.schedule.get_config()
        return {
            "schedule_class": keras.saving.get_registered_name(type(self.schedule)),
            "schedule_config": config["config"] if "class_name" in config else config,
            "limit": self.limit,
        }

    @classmethod
    def from_config(cls, config: Config) -> "CustomSchedule":
        name = config["schedule_class"]
        schedule_class = keras.saving.get_registered_object(name)
        if schedule_class is None:
            raise ValueError(
                f"Schedule class '{name}' must be known to load this model: register it with "
                "keras.saving.register_keras_serializable, or pass it as custom_objects."
            )
        return cls(schedule_class.from_config(config["schedule_config"]), config["limit"])


_TRANSLATED = (ConstantSparsity, PolynomialDecay)


def to_core(schedule: object, *, pattern_sparsity: float | None = None) -> schedules.Schedule:
    """Return a schedule of either form as one of the core's.

    Args:
        schedule: a `PruningSchedule`, or anything that `tfprune.prune` takes as schedule.
        pattern_sparsity: sparsity of a complete M:N pattern. Schedules with a final sparsity end
            there instead; any other is limited to it.

    Returns:
        An object with `__call__` and `next_update`.

    Raises:
        TypeError: for anything else, such as a number.

    Example:
        >>> to_core(PolynomialDecay(0.0, 0.8, 0, 100), pattern_sparsity=0.5)(100)
        0.5
    """
    core: schedules.Schedule
    # A subclass may override what its parent's translation to the core would ignore.
    if isinstance(schedule, _TRANSLATED) and type(schedule) in _TRANSLATED:
        core = schedule.to_core()
    elif isinstance(schedule, PruningSchedule):
        return CustomSchedule(schedule, pattern_sparsity)
    elif isinstance(schedule, numbers.Real):
        raise TypeError(
            "`pruning_schedule` must be a schedule, such as ConstantSparsity(0.5, 0). "
            f"Received: pruning_schedule={schedule!r} (of type {type(schedule).__name__})."
        )
    else:
        core = schedules.as_schedule(schedule, name="pruning_schedule")
    if pattern_sparsity is None or not hasattr(core, "with_final_sparsity"):
        return core
    return core.with_final_sparsity(pattern_sparsity)
