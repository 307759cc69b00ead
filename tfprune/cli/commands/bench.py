"""`tfprune bench`: latency and bytes of .tflite files, measured side by side."""

import argparse
import os
import platform
from collections.abc import Sequence

from rich.table import Table

from tfprune.cli.terminal import Outcome
from tfprune.export.predict.elsewhere import machine_of, made_elsewhere
from tfprune.export.run.bench import Timing, benchmark
from tfprune.reports.measures import NOTE
from tfprune.reports.tables import table
from tfprune.support.long_work import progress
from tfprune.targets.target import TargetName


def run(args: argparse.Namespace) -> Outcome:
    """Measure `args.files`."""
    paths = dict(zip(_names(args.files), args.files))
    with progress(f"Running {len(paths)} file(s) {args.runs} times", quiet=args.json):
        timings = benchmark(paths, threads=args.threads, runs=args.runs, runtime=args.runtime)
    here: TargetName | None = "wasm" if args.runtime == "wasm" else machine_of(platform.machine())
    said = [] if here is None else [made_elsewhere(path, here) for path in args.files]
    notes = [note for note in said if note]
    first = timings[0]
    timed = (
        f"\nLatency of {first.how}. Speed-up: latency of the first file over that of this one in "
        "the same round; the median over the rounds, and its 95 % interval. CPU: "
        "processor time of one inference. Load and memory: from the start to the first result, and "
        "by how much the process grew.\n"
    )
    counted = (
        "\nCompression rate: bytes of the first file over those of this one; space saving: what of "
        f"the first file's bytes this one does not need. {NOTE}"
    )
    data = {
        "runtime": args.runtime,
        "threads": args.threads,
        "runs": args.runs,
        "notes": notes,
        "files": [
            timing.to_dict() | {"bytes_ratio": timing.compression_rate} for timing in timings
        ],
        "formulas": first.formulas,
    }
    return Outcome(
        data,
        (_times(timings), timed, _sizes(timings), counted, *(f"\nNote: {note}" for note in notes)),
    )


def _times(timings: Sequence[Timing]) -> Table:
    """What was timed, one row a file."""
    rows = [
        (
            timing.name,
            f"{timing.median_ms:.4g}",
            f"{timing.p10_ms:.4g} - {timing.p90_ms:.4g}",
            timing.verdict if number else "1.00",
            f"{timing.cpu_ms:.4g}",
            f"{timing.load_ms:.3g}",
            "-" if timing.memory_bytes is None else f"{timing.memory_bytes / 1e6:.1f}",
        )
        for number, timing in enumerate(timings)
    ]
    headings = ("median, ms", "10 % - 90 %", "speed-up", "CPU, ms", "load, ms", "memory, MB")
    return table(("file", *headings), rows)


def _sizes(timings: Sequence[Timing]) -> Table:
    """What the files take, one row a file."""
    rows = [
        (
            timing.name,
            f"{timing.bytes:,}",
            f"{timing.compression_rate:.2f}",
            f"{timing.space_saving:.2%}",
            f"{timing.gzip_bytes:,}",
        )
        for timing in timings
    ]
    return table(("file", "bytes", "compression rate", "space saving", "bytes, gzip"), rows)


def _names(files: Sequence[str]) -> list[str]:
    """Short names for the files, all different."""
    for names in ([os.path.basename(file) for file in files], list(files)):
        if len(set(names)) == len(names):
            return names
    return [f"{file} ({number})" for number, file in enumerate(files, 1)]
