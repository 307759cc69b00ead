"""`tfprune report`: nonzeros, bytes and compression of a model, also as an HTML page."""

import argparse

from rich.console import RenderableType

from tfprune.cli.commands import models
from tfprune.cli.terminal import Outcome
from tfprune.reports.measuring import report


def run(args: argparse.Namespace) -> Outcome:
    """Report on `args.model`."""
    found = report(models.load(args.model, args.modules, args.allow_lambda), verbose=False)
    shown: tuple[RenderableType, ...] = (found.table() if args.all else found,)
    if args.html is not None:
        found.to_html(args.html)
        shown += (f"\nWritten: {args.html}",)
    return Outcome({**found.to_dict(), "html": args.html}, shown)
