"""Options of the commands: a wrong one is reported in one line."""

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NoReturn

from tfprune.support.typed_text import number

# What to do with a checkpoint that other code or data made.
CHANGED = ("refuse", "start-over", "go-on")
# What folders of data hold.
TFDS = (
    "with prepared TFDS data sets; default: TFDS_DATA_DIR, then ../shared/data/tfds beside the "
    "checkout, then TFDS's own folder with a download"
)
PENN_TREEBANK = "of Penn Treebank; default: searched as `models` says, such as in ../shared/data"
ANY_DATA = "of the data; default: searched as `models` says, such as in ../shared/data"


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


def add_data(
    parser: argparse.ArgumentParser, option: str = "--data-dir", about: str = TFDS
) -> None:
    """Add an option for a folder of data, by default that of TFDS."""
    parser.add_argument(option, type=Path, metavar="DIR", help=f"folder {about}")


def add_out(parser: argparse.ArgumentParser, out: Path) -> None:
    """Add `--out` for a results file that is gone on with, by default this one."""
    parser.add_argument(
        "--out",
        type=Path,
        default=out,
        metavar="FILE",
        help=f"JSON file to write or go on with; default: scripts/results/{out.name}",
    )


def add_seeds(parser: argparse.ArgumentParser, seeds: Sequence[int], about: str = "") -> None:
    """Add `--seeds`, by default these; `about` says what of, as "of the weights; "."""
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=number(int, "an integer in [0, 2^32)", 0, 2**32),
        default=list(seeds),
        metavar="N",
        help=f"{about}default: {' '.join(map(str, seeds))}",
    )


def add_checkpoints(parser: argparse.ArgumentParser, folder: Path) -> None:
    """Add `--checkpoints` for the folder of models in training, by default this one."""
    parser.add_argument(
        "--checkpoints",
        type=Path,
        default=folder,
        metavar="DIR",
        help=f"folder for models in training and files; default: results/{folder.name}",
    )


def add_changed(parser: argparse.ArgumentParser) -> None:
    """Add `--changed`: what becomes of a checkpoint that other code or data made."""
    parser.add_argument(
        "--changed",
        choices=CHANGED,
        default=CHANGED[0],
        help="what to do with a checkpoint of other code or data; default: %(default)s",
    )
