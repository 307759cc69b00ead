"""The options of commands that train: how long, and from whom."""

import argparse
from typing import Any

from tfprune.cli import files
from tfprune.support.typed_text import number

DEFAULTS: dict[str, object] = {"batch_size": 64, "learning_rate": 1e-3}
NAMES = (*DEFAULTS, "distill", "teacher")  # that mean nothing without training


def add_training(group: Any, *, epochs: str) -> None:
    """Add the options to a group; what is not given is None.

    Args:
        group: of a parser.
        epochs: the help of `--epochs`.
    """
    count = number(int, "an integer >= 1", 1)
    group.add_argument("--epochs", type=count, metavar="N", help=epochs)
    group.add_argument(
        "--batch-size", type=count, metavar="N", help=f"default: {DEFAULTS['batch_size']}"
    )
    group.add_argument(
        "--learning-rate",
        type=number(float, "a number in (0, 1]", 1e-12, 1.0000001),
        metavar="R",
        help=f"of Adam; default: {DEFAULTS['learning_rate']}",
    )
    group.add_argument(
        "--distill",
        action="store_true",
        default=None,
        help="learn from the outputs of a teacher, too: the model as it was",
    )
    group.add_argument(
        "--teacher",
        metavar="TEACHER.keras",
        help="another teacher, of the same inputs and outputs; implies --distill",
    )


def require_what_they_need(args: argparse.Namespace, names: tuple[str, ...], needed: str) -> None:
    """Raise ValueError if one of these options was given.

    Args:
        args: as parsed.
        names: of options, as attributes.
        needed: what they mean nothing without.
    """
    for name in names:
        if getattr(args, name) is not None:
            raise ValueError(f"`{option(name)}` needs {needed}")


def option(name: str) -> str:
    """Return the option of an attribute.

    Example:
        >>> option("batch_size"), option("update_weights")
        ('--batch-size', '--no-weight-update')
    """
    return _FLAGS.get(name, f"--{name.replace('_', '-')}")


_FLAGS = {
    "update_weights": "--no-weight-update",
    "refresh_batch_norm": "--no-batch-norm-refresh",
}


def settle_training(args: argparse.Namespace) -> None:
    """Raise ValueError if there is no such teacher; set the defaults.

    Args:
        args: as parsed; changed in place.
    """
    if args.teacher is not None:
        files.require_model(args.teacher)
    args.distill = bool(args.distill or args.teacher)
    for name, value in DEFAULTS.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
