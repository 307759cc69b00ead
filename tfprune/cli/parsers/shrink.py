"""Options of `tfprune shrink`."""

import argparse
import math
from typing import TYPE_CHECKING, Any

from tfprune.cli import arguments, data_arguments
from tfprune.cli.data_arguments import SOURCES
from tfprune.cli.parsers import training_options
from tfprune.support.files import require_writable
from tfprune.support.typed_text import number

if TYPE_CHECKING:
    from tfprune.cli.terminal import Outcome

_DESCRIPTION = f"""\
Whole filters, units and attention heads are removed, with everything that depends on
them; the file written is an ordinary, smaller Keras model, faster on every device. What
is coupled is read off the model's graph, and what cannot be removed stays, with the
reason. Exactly one of --sparsity, --macs, --parameters and --latency-ms says how far it
goes; for the last, plans are exported and timed, one after the other, until one fits.

The smaller model is compared with the original without these channels before it is
written. Printed are the plan, and parameters, multiply-adds, bytes of the exported
.tflite file and its latency on this machine, before and after. With --data, the test
accuracy before and after; what it has lost comes back with --epochs of fine-tuning, best
with the original as teacher, --distill.

{SOURCES}"""

_EXAMPLE = """\
tfprune shrink model.keras --macs 0.5
  tfprune shrink model.keras --macs 0.5 --scorer taylor --data digits --epochs 5 --distill
  tfprune shrink model.keras --sparsity 0.5 --round-to 8 --rule 'logits/.*=dense'"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command's parser to `commands`."""
    parser = arguments.add_command(
        commands,
        common,
        name="shrink",
        check=check,
        run=run,
        summary="Remove channels, units and heads: a smaller, faster Keras model.",
        description=_DESCRIPTION,
        example=_EXAMPLE,
    )
    parser.add_argument("model", metavar="MODEL", help="plain model, .keras or .h5")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="file to write, replaced if it exists, or a folder for it; default: MODEL-small.keras "
        "beside the model",
    )
    budgets = parser.add_mutually_exclusive_group(required=True)
    fraction = number(float, "a fraction in (0, 1)", 0, 1)
    budgets.add_argument(
        "--sparsity", type=fraction, metavar="S", help="fraction of the channels that goes"
    )
    budgets.add_argument(
        "--macs", type=fraction, metavar="F", help="fraction of the multiply-adds that is left"
    )
    budgets.add_argument(
        "--parameters", type=fraction, metavar="F", help="fraction of the parameters that is left"
    )
    budgets.add_argument(
        "--latency-ms",
        type=number(float, "milliseconds > 0", 1e-9, math.inf),
        metavar="MS",
        help="latency of the exported .tflite file on one thread of this machine",
    )
    arguments.add_scorer(parser)
    parser.add_argument(
        "--scope",
        choices=("global", "layer"),
        default="global",
        help="the lowest scores of all layers go, or the same share of each; default: %(default)s",
    )
    parser.add_argument(
        "--round-to",
        type=number(int, "an integer >= 1", 1),
        default=1,
        metavar="N",
        help="kept widths are multiples of it; default: %(default)s",
    )
    parser.add_argument(
        "--rule",
        action="append",
        type=arguments.rule,
        dest="rules",
        metavar="REGEX=VALUE",
        help="'dense' keeps the channels of the layers whose kernels match, a fraction is removed "
        "of them; repeatable, first match wins",
    )
    parser.add_argument("--html", metavar="OUT.html", help="write the plan as a page, too")
    parser.add_argument(
        "--no-latency",
        dest="latency",
        action="store_false",
        help="do not export and time both models, as on other backends than TensorFlow",
    )
    _add_data(parser.add_argument_group("data"))
    training_options.add_training(
        parser.add_argument_group("training of the smaller model (with --data)"),
        epochs="of fine-tuning; default: none",
    )
    arguments.add_loading(parser)


def _add_data(group: Any) -> None:
    data_arguments.add_data(group, "examples with labels, see above")
    group.add_argument(
        "--examples",
        type=number(int, "an integer >= 2", 2),
        default=1000,
        metavar="N",
        help="most training examples that scores are computed on; default: %(default)s",
    )
    group.add_argument(
        "--seed",
        type=number(int, "an integer in [0, 2^32)", 0, 2**32),
        default=0,
        metavar="N",
        help="of the choice and the order of examples; default: %(default)s",
    )


def check(args: argparse.Namespace) -> None:
    """Raise ValueError if options do not go together or files are wrong; set the output.

    Args:
        args: as parsed; changed in place.
    """
    arguments.settle_files(args, "-small", ".keras")
    data_arguments.require_data(args)
    data_arguments.settle_data(args)
    if args.data is None:
        idle = ("epochs", *training_options.NAMES)
        training_options.require_what_they_need(args, idle, "a data set: give --data")
    if args.epochs is None:
        training_options.require_what_they_need(args, training_options.NAMES, "--epochs N")
    training_options.settle_training(args)
    if args.html is not None:
        require_writable(args.html, name="--html")
    arguments.require_apart(args)


def run(args: argparse.Namespace) -> "Outcome":
    """Shrink `args.model`."""
    from tfprune.cli.commands import shrink

    return shrink.run(args)
