"""`tfprune bench`: latency and bytes of .tflite files, measured side by side."""

import argparse
import os
from collections.abc import Sequence
from typing import Any

from tfprune.cli import arguments, models
from tfprune.cli.terminal import Outcome
from tfprune.progress import progress
from tfprune.report_table import table


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
            "Ratios are those of the first file to each: above 1 is faster, or smaller, than\n"
            "the first. --runtime wasm needs Node and LiteRT.js, which scripts/setup_wasm.sh\n"
            "of a source checkout installs."
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
    from tfprune.export import benchmark  # imports TensorFlow, whatever the backend

    paths = dict(zip(_names(args.files), args.files))
    with progress(f"Running {len(paths)} file(s) {args.runs} times", quiet=args.json):
        timings = benchmark(
            paths, threads=args.threads, runs=args.runs, runtime=args.runtime
        )
    first = timings[0]
    rows = [
        (
            timing.name,
            f"{timing.median_ms:.4g}",
            f"{timing.p10_ms:.4g} - {timing.p90_ms:.4g}",
            f"{timing.ratio:.2f}",
            f"{timing.cpu_ms:.4g}",
            f"{timing.load_ms:.3g}",
            "-" if timing.memory_bytes is None else f"{timing.memory_bytes / 1e6:.1f}",
            f"{timing.bytes:,}",
            f"{first.bytes / timing.bytes:.2f}",
            f"{timing.gzip_bytes:,}",
        )
        for timing in timings
    ]
    headings = (
        "file",
        "median, ms",
        "10 % - 90 %",
        "speedup",
        "CPU, ms",
        "load, ms",
        "memory, MB",
        "bytes",
        "bytes ratio",
        "bytes, gzip",
    )
    threads = f"{args.threads} thread" + "s" * (args.threads > 1)
    where = "LiteRT" if args.runtime == "native" else "LiteRT.js (WebAssembly)"
    caption = (
        f"\nLatency of one inference in {where}, {threads}, {args.runs} runs in turns. Speedup: "
        "median over the rounds of the first file's latency over this one's. CPU: processor time "
        "of one inference. Load and memory: from the start to the first result, and by how much "
        "the process grew."
    )
    data = {
        "runtime": args.runtime,
        "threads": args.threads,
        "runs": args.runs,
        "files": [
            timing.to_dict() | {"bytes_ratio": first.bytes / timing.bytes} for timing in timings
        ],
    }
    return Outcome(data, (table(headings, rows), caption))


def _names(files: Sequence[str]) -> list[str]:
    """Short names for the files, all different."""
    for names in ([os.path.basename(file) for file in files], list(files)):
        if len(set(names)) == len(names):
            return names
    return [f"{file} ({number})" for number, file in enumerate(files, 1)]
