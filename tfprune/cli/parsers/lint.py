"""Options of `tfprune lint`."""

import argparse
from typing import TYPE_CHECKING

from tfprune.cli import arguments, files
from tfprune.cli.choices import DEVICES, LINTED

if TYPE_CHECKING:
    from tfprune.cli.terminal import Outcome


def add_parser(commands: arguments.Commands, common: argparse.ArgumentParser) -> None:
    """Add the command's parser to `commands`."""
    parser = arguments.add_command(
        commands,
        common,
        name="lint",
        check=check,
        run=run,
        needs_keras=False,
        summary="Tell which layers of a .tflite file run on sparse kernels, and why others do not.",
        description=(
            "Reads any .tflite file, without running it. The table has a row for each layer\n"
            "with weights: its sparsity, its multiply-adds and its kernel. After a dense\n"
            "kernel stands what keeps the layer off a sparse one; a broken one would give\n"
            "wrong outputs on the target, or not load.\n\n"
            "Fully connected layers, recurrent ones included, have sparse kernels on every\n"
            "target but microcontrollers; 1x1 convolutions have them on arm64 and in wasm only.\n"
            "For a microcontroller, defects are what tflite-micro cannot run."
        ),
        example="tfprune lint model.tflite --target wasm",
    )
    parser.add_argument("file", metavar="FILE.tflite", help="any TFLite file")
    parser.add_argument(
        "--target",
        choices=(*LINTED, *DEVICES),
        default="arm64",
        help="where the file will run; default: %(default)s",
    )


def check(args: argparse.Namespace) -> None:
    """Raise ValueError unless there is such a file."""
    files.require_file(args.file, ".tflite")


def run(args: argparse.Namespace) -> "Outcome":
    """Lint `args.file`."""
    from tfprune.cli.commands import lint

    return lint.run(args)
