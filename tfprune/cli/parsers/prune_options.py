"""The options of `tfprune prune`, one by one."""

import argparse
from typing import Any

from tfprune.cli import arguments, data_arguments
from tfprune.cli.choices import DISTRIBUTIONS, SPACINGS
from tfprune.cli.parsers.training_options import add_training
from tfprune.support.typed_text import number

DEFAULTS: dict[str, object] = {
    "examples": 1000,
    "seed": 0,
    "update_weights": True,
    "refresh_batch_norm": True,
    "spacing": "geometric",
}
GRADUAL_EPOCHS = 5


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    parser.add_argument("model", metavar="MODEL", help="plain model, .keras or .h5")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="file to write, replaced if it exists, or a folder for it; default: "
        "MODEL-pruned.keras beside the model",
    )
    parser.add_argument(
        "--sparsity",
        type=number(float, "a fraction in [0, 1)", 0, 1),
        required=True,
        metavar="S",
        help="fraction of the weights to remove, in [0, 1)",
    )
    arguments.add_scorer(parser)
    parser.add_argument(
        "--structure",
        type=arguments.structure,
        default="unstructured",
        metavar="STRUCTURE",
        help="see above; default: %(default)s",
    )
    parser.add_argument(
        "--distribution",
        choices=DISTRIBUTIONS,
        metavar="DISTRIBUTION",
        help=f"{', '.join(DISTRIBUTIONS)}: see above; default: the one that the scorer is made "
        "for, mostly uniform",
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
    parser.add_argument("--all", action="store_true", help="show every weight and total")
    _add_data(parser.add_argument_group("data"))
    _add_stages(parser.add_argument_group("one-shot pruning in stages (with --data)"))
    add_training(
        parser.add_argument_group("training (with --data)"),
        epochs="of gradual pruning; with --stages, of fine-tuning at the final sparsity "
        f"afterwards; default: {GRADUAL_EPOCHS}, with --stages no training",
    )


def _add_data(group: Any) -> None:
    data_arguments.add_data(group, "examples with labels, see above")
    group.add_argument(
        "--examples",
        type=number(int, "an integer >= 2", 2),
        metavar="N",
        help="most training examples that scores are computed on; "
        f"default: {DEFAULTS['examples']}",
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
        type=number(int, "an integer in [0, 2^32)", 0, 2**32),
        metavar="N",
        help=f"of the choice and the order of examples; default: {DEFAULTS['seed']}",
    )


def _add_stages(group: Any) -> None:
    group.add_argument(
        "--stages",
        type=number(int, "an integer >= 1", 1),
        metavar="N",
        help="prune one-shot, in N rounds of scoring and removal",
    )
    group.add_argument(
        "--spacing",
        choices=SPACINGS,
        help="geometric removes the same share of what is left in every stage, linear the same "
        f"number of weights; default: {DEFAULTS['spacing']}",
    )
    group.add_argument(
        "--no-batch-norm-refresh",
        dest="refresh_batch_norm",
        action="store_false",
        default=None,
        help="keep the statistics of batch normalizations, which the examples re-estimate "
        "otherwise at the end",
    )
