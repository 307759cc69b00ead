"""Timing .tflite files against each other on this machine."""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np

from tfprune.export.file import flatbuffer
from tfprune.export.run import runtime as native
from tfprune.export.run import wasm
from tfprune.reports import measures
from tfprune.support.path_argument import require_path
from tfprune.support.validation import require_integer, require_one_of

RUNTIMES = ("native", "wasm")
_RUNTIME_NAMES = {"native": "LiteRT", "wasm": "LiteRT.js (WebAssembly)"}

_OUTSIDE = 0.05  # how often the interval may miss the median

_TICK_MS = 1e-6  # the clock of processor time may stand still over a very short inference


@dataclasses.dataclass(frozen=True)
class Timing:
    """One file's part of a benchmark; times in milliseconds.

    Attributes:
        name: The caller's name for the file.
        path: The file.
        runtime: "native" or "wasm".
        median_ms: Latency of one inference, the median over turns of inferences.
        p10_ms: The tenth percentile of the turns.
        p90_ms: The ninetieth percentile.
        cpu_ms: Median processor time of one inference, summed over threads: what it costs where
            `median_ms` is how long it takes.
        ratio: The speed-up, how many times faster than the first file: the median, over the
            rounds, of the first file's latency in a round over this one's. Within a round the
            machine's state is much the same, so this varies less than a ratio of medians.
        ratio_low: The lower end of an interval that holds the median ratio 95 times of 100, by the
            order of the rounds' ratios; 0 where there are too few rounds (fewer than six).
        ratio_high: Its upper end; infinite where there are too few.
        cpu_ratio: The same as `ratio` of processor times, which other work disturbs less.
        load_ms: Time to load the file and run it once, in a fresh process.
        memory_bytes: By how much that made the process grow in RAM, the runtime's own needs and
            pages of the file included; None in WebAssembly and where the system does not say.
        bytes: Size of the file.
        gzip_bytes: Its size after gzip.
        compression_rate: Bytes of the first file / bytes of this one.
        space_saving: 1 - bytes of this file / bytes of the first; < 0 if this file is larger.
        threads: Threads an inference could use.
        runs: Timed turns.
    """

    name: str
    path: str
    runtime: str
    median_ms: float
    p10_ms: float
    p90_ms: float
    cpu_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    cpu_ratio: float
    load_ms: float
    memory_bytes: int | None
    bytes: int
    gzip_bytes: int
    compression_rate: float
    space_saving: float
    threads: int
    runs: int

    @property
    def speed_up(self) -> float:
        """`ratio`, by the name of the literature."""
        return self.ratio

    @property
    def differs(self) -> bool:
        """Whether a difference in speed to the first file was measured."""
        return not self.ratio_low <= 1.0 <= self.ratio_high

    @property
    def verdict(self) -> str:
        """The speed-up with its interval, in words."""
        if math.isinf(self.ratio_high):
            return f"{self.speed_up:.2f}, too few runs for an interval"
        interval = f"{self.speed_up:.2f} ({self.ratio_low:.2f} to {self.ratio_high:.2f})"
        return interval if self.differs else f"{interval}: no measurable difference"

    @property
    def how(self) -> str:
        """What was timed, in words: "one inference in LiteRT, 1 thread, 50 runs in turns"."""
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        runs = f"{self.runs} run{'s' * (self.runs > 1)}"
        return f"one inference in {_RUNTIME_NAMES[self.runtime]}, {threads}, {runs} in turns"

    @property
    def formulas(self) -> dict[str, str]:
        """What the three measures count, in words."""
        return {
            **measures.formulas("bytes of the first file", "bytes of this one"),
            "speed_up": (
                "median over the rounds, with its 95 % interval by the sign test, of "
                f"latency of the first file / latency of this one in the same round: {self.how}"
            ),
        }

    def to_dict(self) -> dict[str, object]:
        """The timing as plain values, ready for JSON."""
        low, high = self.ratio_low, self.ratio_high
        known = math.isfinite(high)
        return dataclasses.asdict(self) | {
            "ratio_low": low if known else None,
            "ratio_high": high if known else None,
            "speed_up": self.speed_up,
            "differs": self.differs,
        }

    def __str__(self) -> str:
        return (
            f"{self.name}: median latency {self.median_ms:.4g} ms of {self.how}\n"
            f"  beside the first file: speed-up {self.verdict} (latency), compression rate "
            f"{self.compression_rate:.2f} and space saving {self.space_saving:.2%} of its bytes"
        )


def benchmark(
    paths: (
        str
        | os.PathLike[str]
        | Sequence[str | os.PathLike[str]]
        | Mapping[str, str | os.PathLike[str]]
    ),
    *,
    threads: int = 1,
    runs: int = 50,
    warmup: int = 5,
    runtime: str = "native",
) -> list[Timing]:
    """Times files in turns, A B A B ..., so that a busy machine slows all of them alike.

    A turn of a file lasts 10 ms or one inference: long enough for the file's weights to be in the
    cache, as they are where it runs alone.

    The files run in processes of their own: up to five for the latencies, in which the order of
    the files alternates (in WebAssembly one), and a fresh one per file for load time and memory.

    Args:
        paths: A .tflite file, several, or name to file; ratios are taken to the first. Files
            without a name are called as they are.
        threads: Threads an inference may use, at least 1; in WebAssembly 1.
        runs: Timed turns of each file, at least 1.
        warmup: Untimed turns of each file before that, at least 0; in WebAssembly at least a
            second's worth, until the engine has optimized its code.
        runtime: "native" for LiteRT on this machine, "wasm" for LiteRT.js in Node.

    Returns:
        One timing per file, in the order of `paths`. Inputs are random: floats normal (uniform in
        WebAssembly), integers zero.

    Raises:
        TypeError: If `paths` is none of these or a number is not an integer.
        ValueError: If another argument does not fit, a file cannot be read or run, or "wasm" lacks
            Node or LiteRT.js.
    """
    paths = _named(paths)
    for name, path in paths.items():
        require_path(f"paths[{name!r}]", path)
    if not paths:
        raise ValueError("`paths` must name at least one file. Received: paths={}.")
    threads = require_integer("threads", threads, minimum=1)
    runs = require_integer("runs", runs, minimum=1)
    warmup = require_integer("warmup", warmup, minimum=0)
    require_one_of("runtime", runtime, RUNTIMES)
    if runtime == "wasm" and threads > 1:
        raise ValueError(
            "`threads` must be 1 with `runtime='wasm'`, which has one thread in Node. "
            f"Received: threads={threads}."
        )
    files = [os.fspath(path) for path in paths.values()]
    contents = [flatbuffer.read(path)[1] for path in files]
    loads: list[tuple[float, int | None]]
    if runtime == "wasm":
        loads = [(wasm.load(path), None) for path in files]
        wall, cpu = wasm.bench(files, runs=runs, warmup=warmup)
    else:
        loads = [native.load(path, threads=threads) for path in files]
        wall, cpu = native.bench(files, threads=threads, runs=runs, warmup=warmup)
    wall, cpu = 1e3 * wall, 1e3 * cpu
    ratios = [np.array(list(map(measures.speed_up, wall[0], times))) for times in wall]
    intervals = [median_interval(each) for each in ratios]
    return [
        Timing(
            name=name,
            path=files[index],
            runtime=runtime,
            median_ms=float(np.median(wall[index])),
            p10_ms=float(np.percentile(wall[index], 10)),
            p90_ms=float(np.percentile(wall[index], 90)),
            cpu_ms=float(np.median(cpu[index])),
            ratio=float(np.median(ratios[index])),
            ratio_low=intervals[index][0],
            ratio_high=intervals[index][1],
            cpu_ratio=float(np.median(cpu[0] / np.maximum(cpu[index], _TICK_MS))),
            load_ms=1e3 * loads[index][0],
            memory_bytes=loads[index][1],
            bytes=len(contents[index]),
            gzip_bytes=flatbuffer.gzip_size(contents[index]),
            compression_rate=measures.compression_rate(len(contents[0]), len(contents[index])),
            space_saving=measures.space_saving(len(contents[0]), len(contents[index])),
            threads=threads,
            runs=runs,
        )
        for index, name in enumerate(paths)
    ]


def median_interval(values: np.ndarray) -> tuple[float, float]:
    """An interval for the median of what values are drawn from, whatever their distribution.

    With X ~ Binomial(n, 1/2) the number of values below the median, the k-th smallest and the k-th
    largest value miss it with probability 2 P(X < k); k is the largest for which that is at most
    0.05.

    Args:
        values: Independent values, at least one.

    Returns:
        (lower end, upper end); (0, infinity) for fewer than six values, which cannot tell.

    Example:
        >>> median_interval(np.arange(10.0)), median_interval(np.ones(5))
        ((1.0, 8.0), (0.0, inf))
    """
    count, below, k = len(values), 0.0, 0
    while 2 * (below := below + math.comb(count, k) / 2**count) <= _OUTSIDE:
        k += 1
    if k == 0:
        return 0.0, math.inf
    ordered = np.sort(values)
    return float(ordered[k - 1]), float(ordered[-k])


def _named(paths: object) -> Mapping[str, str | os.PathLike[str]]:
    if isinstance(paths, Mapping):
        return paths
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    if isinstance(paths, bytes) or not isinstance(paths, Sequence):
        raise TypeError(
            "`paths` must be a file, a list of files, or map names to files. "
            f"Received: paths={paths!r} (of type {type(paths).__name__})."
        )
    return {require_path("paths", path): path for path in paths}
