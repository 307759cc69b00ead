"""What is said about long work: how long it will take, and a progress bar."""

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator

_WORTH_SAYING = 10.0  # seconds


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


@functools.lru_cache(maxsize=1)
def operations_per_second() -> float:
    """Return what this machine does in products of double-precision matrices, measured once.

    Example:
        >>> operations_per_second() > 1e7
        True
    """
    import numpy as np  # the command line answers --help without it

    matrix = np.ones((384, 384))
    taken = []
    for _ in range(4):
        start = time.perf_counter()
        matrix @ matrix
        taken.append(time.perf_counter() - start)
    return 2 * len(matrix) ** 3 / min(taken)


def announce(what: str, operations: float) -> None:
    """Say on standard error how long something will take, if that is more than ten seconds.

    Args:
        what: names what is computed.
        operations: its additions and multiplications in matrix products, or as much time.

    Example:
        >>> announce("Nothing", 0.0)
    """
    seconds = operations / operations_per_second()
    if seconds > _WORTH_SAYING:
        print(f"{what} will take about {duration(seconds)}.", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Return a time in the unit that makes it a number from 1 to 90 or so.

    Example:
        >>> duration(42.3), duration(250), duration(9000)
        ('42 s', '4 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
