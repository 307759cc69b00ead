"""The options of `tfprune prune`, and which of them go together."""

import argparse
from typing import Any

from tfprune import scorers
from tfprune.cli import arguments
from tfprune.scorers.protocol import needs_gradients
from tfprune.sparsity import distributions
from tfprune.sparsity.stages import SPACINGS

_DEFAULTS = {
    "examples": 1000,
    "seed": 0,
    "update_weights": True,
    "refresh_batch_norm": True,
    "spacing": "geometric",
    "batch_size": 64,
    "learning_rate": 1e-3,
}
_GRADUAL_EPOCHS = 5
_FLAGS = {
    "update_weights": "--no-weight-update",
    "refresh_batch_norm": "--no-batch-norm-refresh",
}
_OF_DATA = ("data_dir", "examples", "seed", "update_weights")
_OF_STAGES = ("spacing", "refresh_batch_norm")
_OF_TRAINING = ("batch_size", "learning_rate")


def add_options(parser: Any) -> None:
    """Add the options of the command to its parser."""
    by_weights = [name for name in scorers.names() if not needs_gradients(scorers.get(name))]
    parser.add_argument("model", metavar="MODEL.keras", help="plain model")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT.keras",
        help="file to write, replaced if it exists; default: MODEL-pruned.keras beside the model",
    )
    parser.add_argument(
        "--sparsity",
        type=arguments.number(float, "a fraction in [0, 1)", 0, 1),
        required=True,
        metavar="S",
        help="fraction of the weights to remove, in [0, 1)",
    )
    parser.add_argument(
        "--scorer",
        default="magnitude",
        metavar="NAME",
        help=f"what is kept: {', '.join(scorers.names())}; all but {' and '.join(by_weights)} need "
        "--data; default: %(default)s",
    )
    parser.add_argument(
        "--structure",
        default="unstructured",
        metavar="STRUCTURE",
        help="see above; default: %(default)s",
    )
    parser.add_argument(
        "--distribution",
        metavar="DISTRIBUTION",
        help=f"{', '.join(distributions.names())}: see above; default: the one that the scorer is "
        "made for, mostly uniform",
    )
    parser.add_argument(
        "--rule",
        action="append",
        type=arguments.rule,
        dest="rules",
        metavar="REGEX=VALUE",
        help="another sparsity, or 'dense', for the weights whose path matches; repeatable, first "
        "match wins",
    )
    _add_data(parser.add_argument_group("data"))
    _add_stages(parser.add_argument_group("one-shot pruning in stages (with --data)"))
    _add_training(parser.add_argument_group("training (with --data)"))


def _add_data(group: Any) -> None:
    group.add_argument(
        "--data", metavar="NAME", help="data set: digits, mnist, fashion_mnist or cifar10"
    )
    group.add_argument(
        "--data-dir", metavar="DIR", help="folder with prepared TFDS data sets (all but digits)"
    )
    group.add_argument(
        "--examples",
        type=arguments.number(int, "an integer >= 2", 2),
        metavar="N",
        help="most training examples that scores are computed on; "
        f"default: {_DEFAULTS['examples']}",
    )
    group.add_argument(
        "--no-weight-update",
        dest="update_weights",
        action="store_false",
        default=None,
        help="only remove weights, where the scorer could also adjust those that are kept",
    )
    group.add_argument(
        "--seed",
        type=arguments.number(int, "an integer in [0, 2^32)", 0, 2**32),
        metavar="N",
        help=f"of the choice and the order of examples; default: {_DEFAULTS['seed']}",
    )


def _add_stages(group: Any) -> None:
    group.add_argument(
        "--stages",
        type=arguments.number(int, "an integer >= 1", 1),
        metavar="N",
        help="prune one-shot, in N rounds of scoring and removal",
    )
    group.add_argument(
        "--spacing",
        choices=SPACINGS,
        help="geometric removes the same share of what is left in every stage, linear the same "
        f"number of weights; default: {_DEFAULTS['spacing']}",
    )
    group.add_argument(
        "--no-batch-norm-refresh",
        dest="refresh_batch_norm",
        action="store_false",
        default=None,
        help="keep the statistics of batch normalizations, which the examples re-estimate "
        "otherwise at the end",
    )


def _add_training(group: Any) -> None:
    count = arguments.number(int, "an integer >= 1", 1)
    group.add_argument(
        "--epochs",
        type=count,
        metavar="N",
        help="of gradual pruning; with --stages, of fine-tuning at the final sparsity afterwards; "
        f"default: {_GRADUAL_EPOCHS}, with --stages no training",
    )
    group.add_argument(
        "--batch-size", type=count, metavar="N", help=f"default: {_DEFAULTS['batch_size']}"
    )
    group.add_argument(
        "--learning-rate",
        type=arguments.number(float, "a number in (0, 1]", 1e-12, 1.0000001),
        metavar="R",
        help=f"of Adam; default: {_DEFAULTS['learning_rate']}",
    )


def check_and_complete(args: argparse.Namespace) -> None:
    """Set the defaults of the options that were not given.

    Args:
        args: as parsed; changed in place.

    Raises:
        ValueError: if an option was given that means nothing without another one.
    """
    if args.data is None:
        needed = "a data set: give --data, such as --data digits"
        idle: tuple[str, ...] = ("stages", "epochs", *_OF_DATA, *_OF_STAGES, *_OF_TRAINING)
    elif args.stages is None:
        needed, idle = "--stages N", _OF_STAGES
        args.epochs = args.epochs or _GRADUAL_EPOCHS
    else:
        needed, idle = "--epochs N beside --stages", () if args.epochs else _OF_TRAINING
    for name in idle:
        if getattr(args, name) is not None:
            option = _FLAGS.get(name, f"--{name.replace('_', '-')}")
            raise ValueError(f"`{option}` needs {needed}")
    for name, value in _DEFAULTS.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
