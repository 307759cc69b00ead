"""Options that say which examples a command gets, converted and checked without Keras."""

import argparse
import importlib.util
import math
import os
from fractions import Fraction
from typing import Any

from tfprune.cli import files
from tfprune.cli.arguments import is_there
from tfprune.cli.choices import LOSSES, SCORERS_WITHOUT_DATA, SCORERS_WITHOUT_LABELS

SOURCES = """\
DATA is one of
  FILE.npz         arrays x and y; or x_train and y_train, and x_test and y_test
  DIR              a folder of images for each class, read by Keras at the size of the
                   model's input, with values from 0 to 255 (--scale 1/255: to 1); or
                   train and test (or val), each of which is such a folder
  FILE.csv         an example a row, its label in the last column or --label NAME;
                   the first line may be a header
  MODULE:FUNCTION  called without arguments: returns (x, y), ((x, y), (x_test, y_test)),
                   a batched tf.data.Dataset, or an object with x_train, y_train, ...
  NAME             digits (of scikit-learn), or a data set of TensorFlow Datasets, such as
                   mnist, fashion_mnist or cifar10; images are scaled to [0, 1]
All examples are held in memory."""

_NAMES = ("val", "data_dir", "label", "scale")  # options that mean nothing without --data
_FILES = {".npz": "file", ".npy": "file", ".csv": "table"}
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "tensorflow_datasets": "tensorflow-datasets"}


def add_data(group: Any, what: str, *, val: bool = True) -> None:
    """Add `--data`, and the options that say how it is read.

    Args:
        group: of a parser.
        what: the help of `--data`.
        val: whether there are `--val` and `--loss`, for commands that measure.
    """
    group.add_argument("--data", type=data_source, metavar="DATA", help=what)
    if val:
        group.add_argument(
            "--val",
            type=data_source,
            metavar="DATA",
            help="examples to measure accuracy on; default: those that DATA has for tests, else a "
            "fifth of it, held out",
        )
        group.add_argument(
            "--loss",
            choices=LOSSES,
            metavar="NAME",
            help="a loss of Keras, such as mean_squared_error; default: the one that fits the "
            "model's outputs and the labels, which is said",
        )
    group.add_argument(
        "--label", metavar="COLUMN", help="of FILE.csv: name of the labels' column, or its number"
    )
    group.add_argument(
        "--scale",
        type=_factor,
        metavar="F",
        help="of DIR: number that images are multiplied by, such as 1/255",
    )
    group.add_argument(
        "--data-dir",
        metavar="DIR",
        help="folder of TensorFlow Datasets; default: TFDS_DATA_DIR, else ~/tensorflow_datasets",
    )


def settle_data(args: argparse.Namespace) -> None:
    """Raise ValueError if `--data` or `--val` is not there, or an option does not belong to it.

    Args:
        args: as parsed; changed in place.
    """
    val = getattr(args, "val", None)
    given = [source for source in (args.data, val) if source is not None]
    if args.data is None:
        for name in (*_NAMES, "loss"):
            if getattr(args, name, None) is not None:
                raise ValueError(f"`--{name.replace('_', '-')}` needs a data set: give --data")
    for kind, path in given:
        if kind in ("file", "table"):
            ending = files.require_file(path, *_FILES)
            if ending == ".npz":
                files.require_archive(path, ending)
        elif kind == "folder":
            _require_folder(path)
    kinds = {kind for kind, _ in given}
    for name, kind, what in (
        ("data_dir", "set", "the name of a data set"),
        ("label", "table", "a .csv file"),
        ("scale", "folder", "a folder of images"),
    ):
        if getattr(args, name) is not None and args.data is not None and kind not in kinds:
            raise ValueError(f"`--{name.replace('_', '-')}` needs {what} as --data")
    args.scale = 1.0 if args.scale is None else args.scale


def require_data(args: argparse.Namespace) -> None:
    """Raise ValueError if `--data` is missing where `--scorer` needs it."""
    if args.data is None and args.scorer not in SCORERS_WITHOUT_DATA:
        raise ValueError(
            f"`--scorer {args.scorer}` needs a data set to compute scores on: give --data, such "
            "as --data digits"
        )


def needs_labels(args: argparse.Namespace) -> bool:
    """Return whether the examples of `tfprune prune` must have labels: to train, or for a loss."""
    trains = args.stages is None or args.epochs is not None
    return trains or args.scorer not in SCORERS_WITHOUT_LABELS


def data_source(text: str) -> tuple[str, str]:
    """Return what kind of source of examples a text names, and the text.

    Args:
        text: FILE.npz, FILE.npy, FILE.csv, a folder, MODULE:FUNCTION or the name of a data set.

    Returns:
        ("file", text), ("table", text), ("folder", text), ("function", text) or ("set", text).

    Raises:
        argparse.ArgumentTypeError: for a name that nothing installed here can know.

    Example:
        >>> data_source("examples.npz"), data_source("json.decoder:load")
        (('file', 'examples.npz'), ('function', 'json.decoder:load'))
    """
    ending = os.path.splitext(text)[1]
    if ending in _FILES:
        return _FILES[ending], text
    if text.endswith(os.sep) or text != "digits" and os.path.isdir(text):
        return "folder", text
    name, colon, function = text.partition(":")
    if colon and function.isidentifier() and all(map(str.isidentifier, name.split("."))):
        if not is_there(name):
            raise argparse.ArgumentTypeError(
                f"module {name!r} cannot be imported: none is installed or in this folder"
            )
        return "function", text
    if os.sep in text or ending:
        raise argparse.ArgumentTypeError(f"there is no such folder or .npz or .csv file: {text}")
    needed = "sklearn" if text == "digits" else "tensorflow_datasets"
    if importlib.util.find_spec(needed) is None:
        raise argparse.ArgumentTypeError(
            "must be FILE.npz, FILE.csv, a folder that is there, or MODULE:FUNCTION; names of data "
            f"sets need pip install {_DISTRIBUTIONS[needed]}. Received: {text}"
        )
    return "set", text


def _require_folder(path: str) -> None:
    if not os.path.isdir(path):
        raise ValueError(f"no such folder: {path!r}")
    names = os.listdir(path)
    if not any(os.path.isdir(os.path.join(path, name)) for name in names):
        raise ValueError(
            f"{path!r} must hold a folder of images for each class. Received: {len(names)} file(s) "
            "and no folder"
        )


def _factor(text: str) -> float:
    try:
        value = float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number > 0, such as 1/255. Received: {text}")
    return value
