"""`tfprune bench`: latency and bytes of .tflite files, measured side by side."""

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tfprune.cli import arguments, models
from tfprune.cli.terminal import Outcome
from tfprune.reports.measures import COMPRESSION_RATE, SPACE_SAVING, SPEED_UP
from tfprune.reports.tables import table
from tfprune.support.progress_bar import progress

if TYPE_CHECKING:
    from tfprune.export import Timing


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command's parser to `commands`."""
    parser = arguments.add_command(
        commands,
        common,
        name="bench",
        run=run,
        summary="Measure the latency of .tflite files in LiteRT on this machine.",
        description=(
            "Files take turns (A B A B ...), so that a busy machine slows all of them alike.\n"
            "Each is compared with the first: a speed-up s / s* above 1 is faster, a compression\n"
            "rate a / a* above 1 smaller, and the space saving is (a - a*) / a of its bytes.\n"
            "--runtime wasm needs Node and LiteRT.js, which scripts/setup_wasm.sh of a source\n"
            "checkout installs."
        ),
        example="tfprune bench dense.tflite sparse.tflite --threads 1 --runs 200",
    )
    parser.add_argument("files", metavar="FILE.tflite", nargs="+", help="files to measure")
    parser.add_argument(
        "--runtime",
        choices=("native", "wasm"),
        default="native",
        help="LiteRT on this machine, or LiteRT.js in Node; default: %(default)s",
    )
    count = arguments.number(int, "an integer >= 1", 1)
    parser.add_argument(
        "--threads",
        type=count,
        default=1,
        metavar="N",
        help="threads that an inference may use, 1 in wasm; default: %(default)s",
    )
    parser.add_argument(
        "--runs",
        type=count,
        default=50,
        metavar="N",
        help="timed turns of each file, of 10 ms or one inference; default: %(default)s",
    )


def run(args: argparse.Namespace) -> Outcome:
    """Measure `args.files`."""
    for file in args.files:
        models.require_file(file, ".tflite")
    from tfprune.export import benchmark

    paths = dict(zip(_names(args.files), args.files))
    with progress(f"Running {len(paths)} file(s) {args.runs} times", quiet=args.json):
        timings = benchmark(paths, threads=args.threads, runs=args.runs, runtime=args.runtime)
    first = timings[0]
    timed = (
        f"\nLatency of {first.how}. Speed-up {SPEED_UP}: s = latency of the first file, s* = of "
        "this one in the same round; the median over the rounds. CPU: processor time of one "
        "inference. Load and memory: from the start to the first result, and by how much the "
        "process grew.\n"
    )
    counted = (
        f"\nCompression rate {COMPRESSION_RATE} and space saving {SPACE_SAVING}: a = bytes of the "
        "first file, a* = bytes of this one."
    )
    data = {
        "runtime": args.runtime,
        "threads": args.threads,
        "runs": args.runs,
        "files": [
            timing.to_dict() | {"bytes_ratio": timing.compression_rate} for timing in timings
        ],
        "formulas": first.formulas,
    }
    return Outcome(data, (_times(timings), timed, _sizes(timings), counted))


def _times(timings: Sequence["Timing"]) -> Table:
    """What was timed, one row a file."""
    rows = [
        (
            timing.name,
            f"{timing.median_ms:.4g}",
            f"{timing.p10_ms:.4g} - {timing.p90_ms:.4g}",
            f"{timing.speed_up:.2f}",
            f"{timing.cpu_ms:.4g}",
            f"{timing.load_ms:.3g}",
            "-" if timing.memory_bytes is None else f"{timing.memory_bytes / 1e6:.1f}",
        )
        for timing in timings
    ]
    headings = ("median, ms", "10 % - 90 %", "speed-up", "CPU, ms", "load, ms", "memory, MB")
    return table(("file", *headings), rows)


def _sizes(timings: Sequence["Timing"]) -> Table:
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
