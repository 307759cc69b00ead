"""Options of `tfprune prune`: what it says about itself, and which of its arguments go together."""

import argparse
from typing import TYPE_CHECKING

from tfprune.cli import arguments
from tfprune.cli.parsers import training_options
from tfprune.cli.parsers.prune_options import DEFAULTS, GRADUAL_EPOCHS, add_options

if TYPE_CHECKING:
    from tfprune.cli.terminal import Outcome

_DESCRIPTION = """\
Weights are removed in one of three ways:

  at once       without --data, by scores of the weights alone.
  in stages     with --data and --stages N: one-shot pruning of a trained model in N
                rounds of scoring and removal. Scores and losses are measured on
                training examples; nothing is trained unless --epochs is given.
  gradually     with --data alone: the model is fine-tuned while its sparsity rises on
                the cubic schedule of Zhu & Gupta over the first 60 % of the steps.

With --distill, training also learns from what the model gave before it was pruned.
With --data, the test accuracy before and after is reported. The loss is cross-entropy:
on probabilities where the model's outputs are nonnegative and sum to 1 (a softmax), on
logits otherwise. The file written is a plain Keras model with exact zeros.

DATA is one of
  FILE.npz         arrays x and y, of which a fifth is held out as test examples; or
                   x_train and y_train, and x_test and y_test of their own
  MODULE:FUNCTION  called without arguments: returns (x, y), ((x, y), (x_test, y_test)),
                   a batched tf.data.Dataset, or an object with x_train, y_train, ...
  NAME             digits (of scikit-learn), or a data set of TensorFlow Datasets, such as
                   mnist, fashion_mnist or cifar10; images are scaled to [0, 1]
Labels are class numbers or one-hot. All examples are held in memory.

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
  tfprune prune model.keras --sparsity 0.9 --data examples.npz --epochs 10 -o pruned.keras"""

_OF_DATA = ("data_dir", "examples", "seed", "update_weights")
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
    arguments.require_data(args)
    name, numbers = args.structure
    if name == "NofM" and args.sparsity > 1 - numbers[0] / numbers[1]:
        raise ValueError(
            f"--sparsity must be <= {1 - numbers[0] / numbers[1]:g} with --structure "
            f"nofm:{numbers[0]}:{numbers[1]}. Received: {args.sparsity:g}"
        )
    if args.data is not None and args.stages is None:
        args.epochs = args.epochs or GRADUAL_EPOCHS
    training_options.settle_training(args)
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
    if args.data is not None and args.data[0] != "set" and args.data_dir is not None:
        raise ValueError("`--data-dir` needs the name of a data set as --data")
