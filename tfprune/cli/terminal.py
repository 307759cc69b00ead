"""What a command hands back, and how it and its progress reach the terminal."""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tfprune.report_table import show


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A command's result.

    Attributes:
        data: plain values for --json.
        shown: what to print otherwise, one after the other: strings or rich renderables.
    """

    data: dict[str, Any]
    shown: tuple[Any, ...]


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


@contextlib.contextmanager
def progress(text: str, *, total: int | None = None, quiet: bool) -> Iterator[Callable[..., None]]:
    """Show a progress bar on standard error while the block runs, if that is a terminal.

    Args:
        text: what is being done.
        total: number of steps; None shows a moving bar and the time passed.
        quiet: show nothing, as with --json.

    Yields:
        advance(text=None): call it after each step, with a new text if there is one.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda text=None: None
        return
    times = (TimeElapsedColumn(),)
    columns = times if total is None else (MofNCompleteColumn(), *times, TimeRemainingColumn())
    # A descriptor of its own: the export silences number 2 while native code runs.
    with open(os.dup(2), "w", encoding="utf-8") as terminal:
        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *columns,
            console=Console(file=terminal),
            transient=True,
        )
        with bar:
            task = bar.add_task(text, total=total)
            yield lambda text=None: bar.update(task, advance=1, description=text)
