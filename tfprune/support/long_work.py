"""What is said about long work: how long it will take, and how far it is."""

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator

_WORTH_SAYING = 10.0  # seconds
_REDRAWN = 0.2  # seconds between two changes of a notebook's line
_now = time.monotonic


@contextlib.contextmanager
def progress(text: str, *, total: int | None = None, quiet: bool) -> Iterator[Callable[..., None]]:
    """Show on standard error how far the block is: a bar on a terminal, else words.

    A notebook has one line, which is written over; a log a new line every ten seconds, none for
    what is done sooner.

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
    if quiet:
        yield lambda text=None, by=1: None
        return
    if not sys.stderr.isatty():
        told = _Told(text, total)
        try:
            yield told.advance
        finally:
            told.clear()
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


class _Told:
    """Progress in words: "Counting: 3 of 9, 2 min left".

    Args:
        text: what is being done.
        total: number of steps, None if nobody knows.
    """

    def __init__(self, text: str, total: int | None):
        self._text, self._total, self._done = text, total, 0
        self._begin = self._last = _now()
        self._notebook = type(sys.stderr).__module__.startswith("ipykernel")
        self._width = 0

    def advance(self, text: str | None = None, by: int = 1) -> None:
        """Count steps, and tell of them if it is time to."""
        self._text, self._done = text or self._text, self._done + by
        if _now() - self._last < (_REDRAWN if self._notebook else _WORTH_SAYING):
            return
        self._last = _now()
        line = self._text
        if self._total is not None and self._done:
            left = (self._last - self._begin) / self._done * (self._total - self._done)
            line += f": {self._done:,} of {self._total:,}, {duration(left)} left"
        if self._notebook:
            print(f"\r{line:<{self._width}}", end="", file=sys.stderr, flush=True)
            self._width = max(self._width, len(line))
        else:
            print(line, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line of a notebook away."""
        if self._width:
            print(f"\r{'':<{self._width}}\r", end="", file=sys.stderr, flush=True)


def stages(total: int, *, quiet: bool) -> Callable[[str], None]:
    """Return what to call after each stage of long work, with what came of it.

    It writes a line such as "stage 3 of 9, 0.70, loss 0.31, 2 min left" to standard error, from the
    stage on at which all of them are seen to take more than ten seconds.

    Args:
        total: number of stages.
        quiet: write nothing.

    Example:
        >>> done = stages(9, quiet=False)
        >>> done("0.70, loss 0.31")  # in no time, so nothing is said
    """
    begin, count = _now(), 0

    def done(text: str) -> None:
        nonlocal count
        count += 1
        each = (_now() - begin) / count
        if not quiet and each * total > _WORTH_SAYING:
            left = f"{duration(each * (total - count))} left" if count < total else "done"
            print(f"stage {count} of {total}, {text}, {left}", file=sys.stderr, flush=True)

    return done


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
