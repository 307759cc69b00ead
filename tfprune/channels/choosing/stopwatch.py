"""Times the exported file of a smaller model beside that of the original, in turns."""

import os
import tempfile
from types import TracebackType
from typing import Any

import keras
import numpy as np

from tfprune.channels.choosing.latency import Latency
from tfprune.export.report import ExportReport
from tfprune.export.run import runtime
from tfprune.export.run.bench import median_interval
from tfprune.export.tflite import to_tflite

_RUNS, _WARM_UP = 50, 5  # turns of each file that are timed, and that are not
_TICK = 1e-9  # seconds; the clock of processor time may stand still over a very short inference


class Stopwatch:
    """Times smaller models beside the original, as files that `to_tflite` writes.

    Args:
        model: the original, on the TensorFlow backend.

    Raises:
        ValueError: if the model cannot be exported.

    Attributes:
        report: of the smaller model's file, once there is one.
    """

    report: ExportReport

    def __init__(self, model: keras.Model):
        self._before_ms: float | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="tfprune-")
        try:
            to_tflite(model, self._path("before"))
        except BaseException:
            self._folder.cleanup()
            raise

    def __enter__(self) -> "Stopwatch":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def __call__(self, small: keras.Model, **options: Any) -> Latency:
        """Return the latency of both.

        Args:
            small: the smaller model.
            **options: of its export.
        """
        self.report = to_tflite(small, self._path("after"), **options)
        paths = [self._path(name) for name in ("before", "after")]
        wall, processor = runtime.bench(paths, threads=1, runs=_RUNS, warmup=_WARM_UP)
        ratios = processor[0] / np.maximum(processor[1], _TICK)
        if self._before_ms is None:
            self._before_ms = 1e3 * float(np.median(wall[0]))
        speed_up = float(np.median(ratios))
        return Latency(
            self._before_ms,
            self._before_ms / speed_up,
            speed_up,
            *median_interval(ratios),
            f"processor time of one inference in LiteRT, 1 thread, {_RUNS} runs in turns",
        )

    def _path(self, name: str) -> str:
        return os.path.join(self._folder.name, f"{name}.tflite")
