"""Options of the commands: a wrong one is reported in one line."""

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """Reports a wrong argument in one line and exits with status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (--help lists the options)\n")


def add_names(parser: argparse.ArgumentParser, option: str, names: Collection[str]) -> None:
    """Add an option that chooses some of these names; all by default."""
    parser.add_argument(
        option,
        nargs="+",
        choices=names,
        default=list(names),
        metavar="NAME",
        help=f"of {', '.join(names)}; default: all",
    )


def add_out(parser: argparse.ArgumentParser, out: Path) -> None:
    """Add `--out` for a results file that is gone on with, by default this one."""
    parser.add_argument(
        "--out",
        type=Path,
        default=out,
        metavar="FILE",
        help=f"JSON file to write or go on with; default: scripts/results/{out.name}",
    )
