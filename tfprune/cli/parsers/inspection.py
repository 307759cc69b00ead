"""Options of `tfprune inspect`."""

import argparse
from typing import TYPE_CHECKING

from tfprune.cli import arguments, files

if TYPE_CHECKING:
    from tfprune.cli.terminal import Outcome


def add_parser(commands: arguments.Commands, common: argparse.ArgumentParser) -> None:
    """Add the command's parser to `commands`."""
    parser = arguments.add_command(
        commands,
        common,
        name="inspect",
        check=check,
        run=run,
        summary="Show what is in a Keras or .tflite file.",
        description=(
            "A .keras, .h5 or .hdf5 file: whether it is plain or pruned, at which step and\n"
            "how; every prunable weight with its nonzeros (masked values count as zeros);\n"
            "skipped layers with the reason.\n"
            "A .tflite file: its operators, constants, sparse encodings and bytes, raw and\n"
            "gzip.\n"
            "--nofm 2:4 adds whether each weight holds that pattern along its input axis."
        ),
        example="tfprune inspect model.keras --json",
    )
    parser.add_argument("file", metavar="FILE", help=".keras, .h5, .hdf5 or .tflite file")
    parser.add_argument(
        "--nofm",
        type=arguments.pattern,
        metavar="N:M",
        help="say of each weight whether at most N of every M inputs are nonzero, such as 2:4",
    )
    arguments.add_loading(parser)


def check(args: argparse.Namespace) -> None:
    """Raise ValueError unless there is such a file; tell whether Keras is needed to read it."""
    args.needs_keras = files.require_file(args.file, *files.MODELS, ".tflite") != ".tflite"
    if args.needs_keras:
        files.require_model(args.file)


def run(args: argparse.Namespace) -> "Outcome":
    """Show what is in `args.file`."""
    from tfprune.cli.commands import inspection

    return inspection.run(args)
