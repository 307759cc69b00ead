"""`tfprune prune`: a .keras file pruned at once, in stages, or gradually while it is fine-tuned."""

import argparse
import os
from typing import Any

from tfprune import scorers
from tfprune.cli import arguments, finetuning, models, one_shot, prune_options
from tfprune.cli.terminal import Outcome
from tfprune.reports.model_report import report
from tfprune.scorers.protocol import needs_gradients
from tfprune.sparsity import distributions
from tfprune.support.files import replacing, require_writable

_DESCRIPTION = """\
Weights are removed in one of three ways:

  at once       without --data, by scores of the weights alone.
  in stages     with --data and --stages N: one-shot pruning of a trained model in N
                rounds of scoring and removal. Scores and losses are measured on
                training examples; nothing is trained unless --epochs is given.
  gradually     with --data alone: the model is fine-tuned while its sparsity rises on
                the cubic schedule of Zhu & Gupta over the first 60 % of the steps.

With --data, the test accuracy before and after is reported. The loss is cross-entropy:
on probabilities where the model's outputs are nonnegative and sum to 1 (a softmax), on
logits otherwise. The file written is a plain Keras model with exact zeros.

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
  tfprune prune model.keras --sparsity 0.9 --data digits --epochs 10 -o pruned.keras"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command's parser to `commands`."""
    parser = arguments.add_command(
        commands,
        common,
        name="prune",
        run=run,
        summary="Prune a .keras file, at once, in stages, or while fine-tuning it on a data set.",
        description=_DESCRIPTION,
        example=_EXAMPLE,
    )
    prune_options.add_options(parser)


def run(args: argparse.Namespace) -> Outcome:
    """Prune `args.model` into `args.output`, or a file beside it."""
    models.require_file(args.model, ".keras")
    output = args.output or f"{os.path.splitext(args.model)[0]}-pruned.keras"
    if not output.endswith(".keras"):
        raise ValueError(f"`--output` must end in .keras. Received: {output!r}")
    prune_options.check_and_complete(args)
    options = {
        "scorer": scorers.get(args.scorer),
        "structure": arguments.structure(args.structure),
        "distribution": args.distribution,
        "rules": args.rules,
    }
    if args.distribution is not None:
        distributions.get(args.distribution)
    if args.data is None and needs_gradients(options["scorer"]):
        raise ValueError(
            f"`--scorer {args.scorer}` needs a data set to compute gradients on: give --data, such "
            "as --data digits"
        )
    require_writable(output, name="--output")
    data, shown = {"output": output, "one_shot": None, "training": None}, []
    if args.data is None:
        stripped = one_shot.prune_at_once(models.load(args.model), args.sparsity, options)
    else:
        dataset = finetuning.load_data(args.data, args.data_dir)
        model = models.load(args.model)
        if args.stages is None:
            stripped, data["training"] = finetuning.prune_gradually(model, dataset, args, options)
        else:
            stripped, stages, accuracies, data["training"] = one_shot.prune_in_stages(
                model, dataset, args, options
            )
            data["one_shot"] = {**stages.to_dict(), **accuracies}
            shown.append(f"{stages}\n")
    with replacing(output, name="--output") as new:
        stripped.save(new)
    found = report(stripped, verbose=False)
    lines = "\n".join([f"\nWritten: {output}", *_accuracies(data)])
    return Outcome({**data, "report": found.to_dict()}, (*shown, found, lines))


def _accuracies(data: dict[str, Any]) -> list[str]:
    """The line on the test accuracy, where there was a test."""
    stages, training = data["one_shot"], data["training"]
    first = stages or training
    if first is None:
        return []
    parts = [f"{first['accuracy_before']:.2%} before"]
    if stages:
        parts.append(f"{stages['accuracy_after']:.2%} pruned")
    if training:
        epochs = training["epochs"]
        parts.append(f"{training['accuracy_after']:.2%} after {epochs} epoch{'s' * (epochs > 1)}")
    line = f"Test accuracy on {first['data']}: {', '.join(parts)}"
    if training and not stages:
        line += f" (final sparsity from step {training['end_step']:,} of {training['steps']:,})"
    return [line]
