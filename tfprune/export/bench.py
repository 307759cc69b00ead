"""Timing .tflite files against each other on this machine."""

import dataclasses
import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfprune.export import flatbuffer, runtime
from tfprune.validation import require_integer


@dataclasses.dataclass(frozen=True)
class Timing:
    """One file's part of a benchmark; times in milliseconds.

    Attributes:
        name: The caller's name for the file.
        path: The file.
        median_ms: Median latency of one inference.
        p10_ms: The tenth percentile of the latencies.
        p90_ms: The ninetieth percentile.
        load_ms: Time to load the file and run it once.
        bytes: Size of the file.
        gzip_bytes: Its size after gzip.
        ratio: Median of the first file over this one's: above 1 is faster than the first.
        threads: Threads an inference could use.
        runs: Timed inferences.
    """

    name: str
    path: str
    median_ms: float
    p10_ms: float
    p90_ms: float
    load_ms: float
    bytes: int
    gzip_bytes: int
    ratio: float
    threads: int
    runs: int

    def to_dict(self) -> dict[str, Any]:
        """The timing as plain values, ready for JSON."""
        return dataclasses.asdict(self)


def benchmark(
    paths: Mapping[str, str | os.PathLike[str]],
    *,
    threads: int = 1,
    runs: int = 50,
    warmup: int = 5,
) -> list[Timing]:
    """Times files in turns, A B A B ..., so that a busy machine slows all of them alike.

    Args:
        paths: Name to .tflite file, at least one; ratios are taken to the first.
        threads: Threads an inference may use, at least 1.
        runs: Timed inferences of each file, at least 1.
        warmup: Untimed inferences of each file before that, at least 0.

    Returns:
        One timing per file, in the order of `paths`. Inputs are random: floats normal, integers
        zero.

    Raises:
        TypeError: If `paths` is no mapping or a number is not an integer.
        ValueError: If a number is too small, or a file cannot be read or run.
    """
    if not isinstance(paths, Mapping):
        raise TypeError(f"`paths` must map names to files. Received: paths={paths!r}.")
    if not paths:
        raise ValueError("`paths` must name at least one file. Received: paths={}.")
    require_integer("threads", threads, minimum=1)
    require_integer("runs", runs, minimum=1)
    require_integer("warmup", warmup, minimum=0)
    contents = [flatbuffer.read(path)[1] for path in paths.values()]
    loaded = [_load(path, threads) for path in paths.values()]
    latencies: list[list[float]] = [[] for _ in loaded]
    for turn in range(warmup + runs):
        for times, (interpreter, _) in zip(latencies, loaded):
            begin = time.perf_counter()
            interpreter.invoke()
            if turn >= warmup:
                times.append(1e3 * (time.perf_counter() - begin))
    medians = [float(np.median(times)) for times in latencies]
    return [
        Timing(
            name=name,
            path=os.fspath(path),
            median_ms=median,
            p10_ms=float(np.percentile(times, 10)),
            p90_ms=float(np.percentile(times, 90)),
            load_ms=load_ms,
            bytes=len(content),
            gzip_bytes=flatbuffer.gzip_size(content),
            ratio=medians[0] / median,
            threads=threads,
            runs=runs,
        )
        for (name, path), median, times, (_, load_ms), content in zip(
            paths.items(), medians, latencies, loaded, contents
        )
    ]


def _load(path: str | os.PathLike[str], threads: int) -> tuple[Any, float]:
    """An interpreter that has run once, and the milliseconds it took to get there."""
    begin = time.perf_counter()
    interpreter = runtime.load(path, threads=threads)
    rng = np.random.default_rng(0)
    inputs = []
    for detail in interpreter.get_input_details():
        values = rng.standard_normal(detail["shape"])
        if not np.issubdtype(detail["dtype"], np.floating):
            values = np.zeros(detail["shape"])
        inputs.append(values.astype(detail["dtype"]))
    runtime.run(interpreter, inputs)
    return interpreter, 1e3 * (time.perf_counter() - begin)
