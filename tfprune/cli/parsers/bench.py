"""Options of `tfprune bench`."""

import argparse
from typing import TYPE_CHECKING

from tfprune.cli import arguments, files
from tfprune.cli.choices import RUNTIMES
from tfprune.support.typed_text import number

if TYPE_CHECKING:
    from tfprune.cli.terminal import Outcome


def add_parser(commands: arguments.Commands, common: argparse.ArgumentParser) -> None:
    """Add the command's parser to `commands`."""
    parser = arguments.add_command(
        commands,
        common,
        name="bench",
        check=check,
        run=run,
        needs_keras=False,
        summary="Measure the latency of .tflite files in LiteRT on this machine.",
        description=(
            "Files take turns (A B A B ...), so that a busy machine slows all of them alike.\n"
            "Each is compared with the first, so name the dense file first: a speed-up above 1 is\n"
            "faster, a compression rate above 1 smaller; space saving is the part of the first\n"
            "file's bytes that is not needed.\n"
            "--runtime wasm needs Node and LiteRT.js, which scripts/setup_wasm.sh of a source\n"
            "checkout installs."
        ),
        example="tfprune bench dense.tflite sparse.tflite --threads 1 --runs 200",
    )
    parser.add_argument("files", metavar="FILE.tflite", nargs="+", help="files to measure")
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        default="native",
        help="LiteRT on this machine, or LiteRT.js in Node; default: %(default)s",
    )
    count = number(int, "an integer >= 1", 1)
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


def check(args: argparse.Namespace) -> None:
    """Raise ValueError unless there are such files."""
    for file in args.files:
        files.require_file(file, ".tflite")


def run(args: argparse.Namespace) -> "Outcome":
    """Measure `args.files`."""
    from tfprune.cli.commands import bench

    return bench.run(args)
