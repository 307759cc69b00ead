"""Ctrl-C in a program that does not go on where it was."""

import sys
from collections.abc import Callable

from scripts.lab import experiments


def exit_status(program: str, work: Callable[[], None], *, stopped: str) -> int:
    """Do the work as `experiments.exit_status` does, with words of its own after Ctrl-C.

    Args:
        program: its name.
        work: to be done.
        stopped: what becomes of the work when it is started again.
    """

    def own() -> None:
        try:
            work()
        except KeyboardInterrupt as stop:
            raise _Stopped from stop

    try:
        return experiments.exit_status(program, own)
    except _Stopped:
        print(f"{program}: stopped; {stopped}", file=sys.stderr)
        return 130


class _Stopped(Exception):
    """Ctrl-C came."""
