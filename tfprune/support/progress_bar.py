"""A progress bar for long work."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(text: str, *, total: int | None = None, quiet: bool) -> Iterator[Callable[..., None]]:
    """Show a progress bar on standard error while the block runs, if that is a terminal.

    Args:
        text: what is being done.
        total: number of steps; None shows a moving bar and the time passed.
        quiet: show nothing, as with --json.

    Yields:
        advance(text=None, by=1): call it after each step, with a new text if there is one.

    Example:
        >>> with progress("Counting", total=3, quiet=True) as advance:
        ...     advance()
    """
    if quiet or not sys.stderr.isatty():
        yield lambda text=None, by=1: None
        return
    from rich import progress as bars  # a tenth of a second, for nothing where there is no terminal
    from rich.console import Console

    times = (bars.TimeElapsedColumn(),)
    columns = (
        times if total is None else (bars.MofNCompleteColumn(), *times, bars.TimeRemainingColumn())
    )
    # A descriptor of its own: the export silences number 2 while native code runs.
    with open(os.dup(2), "w", encoding="utf-8") as terminal:
        bar = bars.Progress(
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(),
            *columns,
            console=Console(file=terminal),
            transient=True,
        )
        with bar:
            task = bar.add_task(text, total=total)
            yield lambda text=None, by=1: bar.update(task, advance=by, description=text)
