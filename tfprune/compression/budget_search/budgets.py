"""What the compressed model may cost, and what one costs."""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np

from tfprune.calibration.examples import Examples
from tfprune.channels.choosing.stopwatch import Stopwatch
from tfprune.channels.coupling.reading import read
from tfprune.channels.kept import Costs
from tfprune.compression.budget_search.stored_sizes import FileKind
from tfprune.export.tflite import to_tflite
from tfprune.support.typed_text import did_you_mean
from tfprune.support.validation import require_number

TOLERANCE = 0.03
OF_FILES = ("bytes", "gzip_bytes", "latency_ms", "arena")  # known once a file is written
NAMES = ("bytes", "gzip_bytes", "macs", "latency_ms", "arena")
_CALIBRATING = 200  # examples that an integer file is calibrated on


def read_budget(value: object) -> dict[str, float]:
    """Return the budget that a user gave.

    Args:
        value: name -> number > 0; below 1 a fraction of what the model costs, but for latency.

    Raises:
        TypeError, ValueError: if it is empty, or has another name or kind of number.

    Example:
        >>> read_budget({"bytes": 0.1})
        {'bytes': 0.1}
    """
    if not isinstance(value, Mapping) or not value:
        raise TypeError(
            f"`budget` must be a dictionary with at least one of {', '.join(NAMES)}. "
            f"Received: budget={value!r}."
        )
    for name in value:
        if name not in NAMES:
            hint = did_you_mean(str(name), NAMES)
            raise ValueError(
                f"`budget` must have no other names than {', '.join(NAMES)}{hint or '.'} "
                f"Received: budget={value!r}."
            )
    return {
        name: float(require_number(f"budget[{name!r}]", number, above=0.0))
        for name, number in value.items()
    }


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a model may cost.

    Attributes:
        most: budget -> the most it may cost.
    """

    most: Mapping[str, float]

    @classmethod
    def of(cls, asked: Mapping[str, float], before: Mapping[str, float]) -> "Limits":
        """Return the limits, fractions multiplied by what the model costs."""
        return cls(
            {
                name: most * before[name] if most < 1 and name != "latency_ms" else most
                for name, most in asked.items()
            }
        )

    def used(self, costs: Mapping[str, float]) -> float:
        """Return the largest share of a limit that is used; above 1, something costs too much."""
        return max(costs[name] / most for name, most in self.most.items())

    def fit(self, costs: Mapping[str, float]) -> bool:
        """Return whether nothing costs more than it may; time may by 3 %, as it is measured."""
        return all(
            costs[name] <= most * (1 + TOLERANCE if name == "latency_ms" else 1)
            for name, most in self.most.items()
        )


class Scales(contextlib.ExitStack):
    """Tells what models cost, all files on this machine; what it wrote goes at the end.

    Args:
        original: beside which the time of others is measured, in turns.
        names: of the budgets.
        taken: examples to calibrate integer files on.
    """

    def __init__(self, original: keras.Model, names: Collection[str], taken: Examples):
        super().__init__()
        self._names = tuple(names)
        self._inputs = keras.tree.map_structure(lambda x: x[:_CALIBRATING], taken.x)
        self._folder = self.enter_context(tempfile.TemporaryDirectory(prefix="tfprune-"))
        self._stopwatch = None
        if "latency_ms" in names:
            self._stopwatch = self.enter_context(Stopwatch(original))

    def weigh(self, model: keras.Model, kind: FileKind) -> dict[str, float]:
        """Return budget -> what a plain model costs.

        Args:
            model: plain.
            kind: of its file.
        """
        found: dict[str, float] = {}
        if "macs" in self._names:
            found["macs"] = float(multiply_adds(model))
        if not set(self._names) & set(OF_FILES):
            return found
        options: dict[str, Any] = {"target": kind.target, "quantize": kind.quantize}
        if kind.quantize in ("int8", "int4"):
            options["representative_data"] = self._inputs
        if self._stopwatch is not None:
            found["latency_ms"] = self._stopwatch(model, **options).after_ms
            report = self._stopwatch.report
        else:
            report = to_tflite(model, os.path.join(self._folder, "model.tflite"), **options)
        found |= {"bytes": report.bytes, "gzip_bytes": report.gzip_bytes}
        if report.micro is not None:
            found["arena"] = report.micro.arena_bytes
        return {name: float(found[name]) for name in self._names}


def multiply_adds(model: keras.Model) -> int:
    """Return those of one example, of a model with a graph."""
    reading = read(model)
    return Costs(reading, reading.book.ledger.settle()).of(np.zeros(0, int)).multiply_adds
