"""`tfprune prune`: a .keras file pruned at once, or gradually while it is fine-tuned."""

import argparse
from typing import Any

import keras

from tfprune import distributions, scorers
from tfprune.api import prune, strip_pruning
from tfprune.cli import arguments, finetuning, models
from tfprune.cli.terminal import Outcome
from tfprune.files import replacing, require_writable
from tfprune.report import report
from tfprune.schedules import OneShot
from tfprune.updater import PruningUpdater

_DESCRIPTION = """\
Without --data, weights are removed at once and nothing is trained. With --data,
the model is fine-tuned on that data set while the sparsity rises on the cubic
schedule of Zhu & Gupta over the first 60 % of the steps, and its accuracy before
and after is reported. The loss is cross-entropy: on probabilities where the
model's outputs are nonnegative and sum to 1 (a softmax), on logits otherwise.
The file written is a plain Keras model with exact zeros.

STRUCTURE is what is removed together: unstructured, block:HxW (such as
block:4x1), nofm:N:M (such as nofm:2:4, two of every four kept) or channel
(output channels). DISTRIBUTION: uniform gives every weight the sparsity S, erk
keeps small ones denser, global sets one threshold over all layers."""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command's parser to `commands`."""
    parser = arguments.add_command(
        commands,
        common,
        name="prune",
        run=run,
        summary="Prune a .keras file, at once or while fine-tuning it on a data set.",
        description=_DESCRIPTION,
        example=(
            "tfprune prune model.keras --sparsity 0.9 --rule 'conv1/.*=0.5' "
            "--rule 'logits/.*=dense' \\\n      --data digits --epochs 10 -o pruned.keras"
        ),
    )
    parser.add_argument("model", metavar="MODEL.keras", help="plain model")
    parser.add_argument("-o", "--output", metavar="OUT.keras", required=True, help="file to write")
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
        help=f"what is kept: {', '.join(scorers.names())}; default: %(default)s",
    )
    parser.add_argument(
        "--structure",
        default="unstructured",
        metavar="STRUCTURE",
        help="see above; default: %(default)s",
    )
    parser.add_argument(
        "--distribution",
        default="uniform",
        metavar="DISTRIBUTION",
        help=f"{', '.join(distributions.names())}: see above; default: %(default)s",
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
    _add_training(parser.add_argument_group("fine-tuning"))


def _add_training(group: Any) -> None:
    count = arguments.number(int, "an integer >= 1", 1)
    group.add_argument("--data", metavar="NAME", help="data set: digits or fashion_mnist")
    group.add_argument(
        "--data-dir", metavar="DIR", help="folder with prepared TFDS data sets (fashion_mnist)"
    )
    group.add_argument("--epochs", type=count, default=5, metavar="N", help="default: %(default)s")
    group.add_argument(
        "--batch-size", type=count, default=64, metavar="N", help="default: %(default)s"
    )
    group.add_argument(
        "--learning-rate",
        type=arguments.number(float, "a number in (0, 1]", 1e-12, 1.0000001),
        default=1e-3,
        metavar="R",
        help="of Adam; default: %(default)s",
    )
    group.add_argument(
        "--seed",
        type=arguments.number(int, "an integer in [0, 2^32)", 0, 2**32),
        default=0,
        metavar="N",
        help="of the order of the examples; default: %(default)s",
    )


def run(args: argparse.Namespace) -> Outcome:
    """Prune `args.model` into `args.output`."""
    if not args.output.endswith(".keras"):
        raise ValueError(f"`--output` must end in .keras. Received: {args.output!r}")
    distributions.get(args.distribution)
    require_writable(args.output, name="--output")
    options = {
        "scorer": scorers.get(args.scorer),
        "structure": arguments.structure(args.structure),
        "distribution": args.distribution,
        "rules": args.rules,
    }
    if args.data is None:
        stripped = _one_shot(models.load(args.model), args.sparsity, options)
        training = None
    else:
        dataset = finetuning.load_data(args.data, args.data_dir)
        stripped, training = finetuning.prune_gradually(
            models.load(args.model), dataset, args, options
        )
    with replacing(args.output, name="--output") as new:
        stripped.save(new)
    found = report(stripped, verbose=False)
    lines = [f"\nWritten: {args.output}"]
    if training is not None:
        lines.append(
            f"Test accuracy on {training['data']}: {training['accuracy_before']:.2%} before, "
            f"{training['accuracy_after']:.2%} after {training['epochs']} epochs "
            f"(final sparsity from step {training['end_step']:,} of {training['steps']:,})"
        )
    data = {"output": args.output, "training": training, "report": found.to_dict()}
    return Outcome(data, (found, "\n".join(lines)))


def _one_shot(model: keras.Model, sparsity: float, options: dict[str, Any]) -> keras.Model:
    """The model with weights removed at once, stripped."""
    pruned = prune(model, OneShot(sparsity), **options)
    PruningUpdater(pruned, keras.optimizers.SGD())  # makes the update that is due at step 0
    return strip_pruning(pruned)
