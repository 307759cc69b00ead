"""Options of `tfprune report`."""

import argparse
from typing import TYPE_CHECKING

from tfprune.cli import arguments, files
from tfprune.support.files import require_writable

if TYPE_CHECKING:
    from tfprune.cli.terminal import Outcome


def add_parser(commands: arguments.Commands, common: argparse.ArgumentParser) -> None:
    """Add the command's parser to `commands`."""
    parser = arguments.add_command(
        commands,
        common,
        name="report",
        check=check,
        run=run,
        summary="Report nonzeros, sparsity, bytes and compression of a model.",
        description=(
            "The verdict comes first, then the ten largest weights. With --all, compression rate\n"
            "and space saving are given of parameters and nonzero parameters, and of bytes as\n"
            "stored densely and as bit mask and values, or as CSR with zero counts; --json gives\n"
            "the formulas as well."
        ),
        example="tfprune report model.keras --html report.html",
    )
    parser.add_argument("model", metavar="MODEL", help="plain or pruned model, .keras or .h5")
    parser.add_argument("--html", metavar="PATH", help="also write an HTML page with a plot")
    parser.add_argument("--all", action="store_true", help="show every weight, total and layer")
    arguments.add_loading(parser)


def check(args: argparse.Namespace) -> None:
    """Raise ValueError if the model is none, or the page cannot be written, or would replace it."""
    if args.html is not None:
        require_writable(args.html, name="--html")
    files.require_model(args.model)
    arguments.require_apart(args)


def run(args: argparse.Namespace) -> "Outcome":
    """Report on `args.model`."""
    from tfprune.cli.commands import report

    return report.run(args)
