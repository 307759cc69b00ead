"""Options of `tfprune prune`: what it says about itself, and which of its arguments go together."""

import argparse
from typing import TYPE_CHECKING

from tfprune.cli import arguments, data_arguments
from tfprune.cli.data_arguments import SOURCES
from tfprune.cli.parsers import training_options
from tfprune.cli.parsers.prune_options import DEFAULTS, GRADUAL_EPOCHS, add_options

if TYPE_CHECKING:
    from tfprune.cli.terminal import Outcome

_DESCRIPTION = f"""\
Weights are removed in one of three ways:

  at once       without --data, by scores of the weights alone.
  in stages     with --data and --stages N: one-shot pruning of a trained model in N
                rounds of scoring and removal. Scores and losses are measured on
                training examples; nothing is trained unless --epochs is given.
  gradually     with --data alone: the model is fine-tuned while its sparsity rises on
                the cubic schedule of Zhu & Gupta over the first 60 % of the steps.

With --distill, training also learns from what the model gave before it was pruned.
With --data, the test accuracy before and after is reported, or the loss where labels are
no classes. Without --loss it is cross-entropy for class numbers (of logits, unless the
outputs are nonnegative and sum to 1, as of a softmax), binary cross-entropy for 0 and 1,
and the mean squared error for other numbers. The file written is a plain Keras model with
exact zeros.

{SOURCES}
Labels are class numbers or one-hot, or numbers of the shape of the model's outputs.
--scorer reconstruction and synflow with --stages need no labels: x alone will do.

STRUCTURE is what is removed together: unstructured, block:HxW (such as block:4x1),
nofm:N:M (such as nofm:2:4, two of every four kept), channel (output channels), or
target:NAME[:QUANTIZE], which gives each weight the structure that is fast on auto, arm64,
wasm or x86, or takes least space (size), once it is exported with this QUANTIZE: float16,
int8_weights, dynamic or int8; float32 without.
DISTRIBUTION: uniform gives every weight the sparsity S, erk keeps small ones denser,
global sets one threshold over all layers."""

_EXAMPLE = """\
tfprune prune model.keras --sparsity 0.9 --rule 'conv1/.*=0.5' --rule 'logits/.*=dense'
  tfprune prune model.keras --sparsity 0.9 --structure target:wasm
  tfprune prune model.keras --scorer woodfisher --data digits --sparsity 0.8 --stages 9
  tfprune prune model.keras --sparsity 0.9 --data examples.npz --epochs 10 -o pruned.keras
  tfprune prune model.keras --sparsity 0.9 --data photos/ --scale 1/255 --distill"""

_OF_DATA = ("examples", "seed", "update_weights")
_OF_STAGES = ("spacing", "refresh_batch_norm")


def add_parser(commands: arguments.Commands, common: argparse.ArgumentParser) -> None:
    """Add the command's parser to `commands`."""
    parser = arguments.add_command(
        commands,
        common,
        name="prune",
        check=check,
        run=run,
        summary="Prune a model, at once, in stages, or while fine-tuning it on a data set.",
        description=_DESCRIPTION,
        example=_EXAMPLE,
    )
    add_options(parser)
    arguments.add_loading(parser)


def check(args: argparse.Namespace) -> None:
    """Raise ValueError if options do not go together or files are wrong; set the defaults.

    Args:
        args: as parsed; changed in place.
    """
    arguments.settle_files(args, "-pruned", ".keras")
    _require_what_options_need(args)
    data_arguments.require_data(args)
    data_arguments.settle_data(args)
    name, numbers = args.structure
    if name == "NofM" and args.sparsity > 1 - numbers[0] / numbers[1]:
        raise ValueError(
            f"--sparsity must be <= {1 - numbers[0] / numbers[1]:g} with --structure "
            f"nofm:{numbers[0]}:{numbers[1]}. Received: {args.sparsity:g}"
        )
    if args.data is not None and args.stages is None:
        args.epochs = args.epochs or GRADUAL_EPOCHS
    training_options.settle_training(args)
    arguments.require_apart(args)
    for name, value in DEFAULTS.items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def run(args: argparse.Namespace) -> "Outcome":
    """Prune `args.model`."""
    from tfprune.cli.commands import prune

    return prune.run(args)


def _require_what_options_need(args: argparse.Namespace) -> None:
    """Raise ValueError if an option was given that means nothing without another one."""
    if args.data is None:
        needed = "a data set: give --data, such as --data digits"
        idle: tuple[str, ...] = (
            "stages",
            "epochs",
            *_OF_DATA,
            *_OF_STAGES,
            *training_options.NAMES,
        )
    elif args.stages is None:
        needed, idle = "--stages N", _OF_STAGES
    else:
        needed, idle = "--epochs N beside --stages", () if args.epochs else training_options.NAMES
    training_options.require_what_they_need(args, idle, needed)
