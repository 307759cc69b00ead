"""What schedules, structures and scorers share: being saved with a model."""

import dataclasses
from typing import Any, Self

from tfprune.support.validation import require_mapping

Config = dict[str, Any]  # as `get_config` of Keras returns it


class Configurable:
    """Mixin for frozen dataclasses: a config dictionary that Keras can write and read back.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Point(Configurable):
        ...     x: int
        >>> Point.from_config(Point(3).get_config())
        Point(x=3)
    """

    def get_config(self) -> Config:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # subclasses are dataclasses
        return {field.name: getattr(self, field.name) for field in fields}

    @classmethod
    def from_config(cls, config: Config) -> Self:
        return cls(**require_mapping("config", config))


def untracked(value: object) -> object:
    """Return a plain list where Keras has put a list into one that it tracks.

    Example:
        >>> untracked([1, 2]), untracked("a")
        ([1, 2], 'a')
    """
    return list(value) if isinstance(value, list) else value
