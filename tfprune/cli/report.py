"""`tfprune report`: nonzeros, bytes and compression of a .keras file, also as an HTML page."""

import argparse
from typing import Any

from tfprune.cli import arguments, models
from tfprune.cli.terminal import Outcome
from tfprune.reports.model_report import report
from tfprune.support.files import require_writable


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command's parser to `commands`."""
    parser = arguments.add_command(
        commands,
        common,
        name="report",
        run=run,
        summary="Report nonzeros, sparsity, bytes and compression of a .keras file.",
        description=(
            "Compression rate a / a* and space saving (a - a*) / a are given of parameters and\n"
            "nonzero parameters, and of bytes as stored densely and as bit mask and values, or\n"
            "as CSR with zero counts; --json gives the formulas as well."
        ),
        example="tfprune report model.keras --html report.html",
    )
    parser.add_argument("model", metavar="MODEL.keras", help="plain or pruned model")
    parser.add_argument("--html", metavar="PATH", help="also write an HTML page with a plot")


def run(args: argparse.Namespace) -> Outcome:
    """Report on `args.model`."""
    if args.html is not None:
        require_writable(args.html, name="--html")
    found = report(models.load(args.model), verbose=False)
    shown: tuple[Any, ...] = (found,)
    if args.html is not None:
        found.to_html(args.html)
        shown += (f"\nWritten: {args.html}",)
    return Outcome({**found.to_dict(), "html": args.html}, shown)
