"""What a command hands back, and how it reaches the terminal."""

import argparse
import dataclasses
import sys

from rich.console import RenderableType

from tfprune.reports.tables import show


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A command's result.

    Attributes:
        data: plain values for --json.
        shown: what to print otherwise, one after the other: strings or rich renderables.
    """

    data: dict[str, object]
    shown: tuple[RenderableType, ...]


def written(args: argparse.Namespace) -> str:
    """Return the line on the file that a command has written.

    Args:
        args: of the command, with `output` and `replaces`.
    """
    return f"Written: {args.output}{', in place of an older file' * args.replaces}"


def print_outcome(outcome: Outcome) -> None:
    """Print a result for a reader.

    Args:
        outcome: the result.
    """
    for part in outcome.shown:
        if isinstance(part, str):
            print(part)
        else:
            show(part, sys.stdout)
