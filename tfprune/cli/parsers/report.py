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
            "Compression rate a / a* and space saving (a - a*) / a are given of parameters and\n"
            "nonzero parameters, and of bytes as stored densely and as bit mask and values, or\n"
            "as CSR with zero counts; --json gives the formulas as well."
        ),
        example="tfprune report model.keras --html report.html",
    )
    parser.add_argument("model", metavar="MODEL", help="plain or pruned model, .keras or .h5")
    parser.add_argument("--html", metavar="PATH", help="also write an HTML page with a plot")
    arguments.add_loading(parser)


def check(args: argparse.Namespace) -> None:
    """Raise ValueError if the model is none, or the page cannot be written."""
    if args.html is not None:
        require_writable(args.html, name="--html")
    files.require_model(args.model)


def run(args: argparse.Namespace) -> "Outcome":
    """Report on `args.model`."""
    from tfprune.cli.commands import report

    return report.run(args)
