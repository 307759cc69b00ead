"""`tfprune prune`: a model pruned at once, in stages, or gradually while it is fine-tuned."""

import argparse
from typing import Any

from tfprune import scorers
from tfprune.cli.commands import finetuning, models, one_shot
from tfprune.cli.data.sources import load
from tfprune.cli.data.task import task_for
from tfprune.cli.terminal import Outcome, written
from tfprune.reports.measuring import report
from tfprune.sparsity import structures
from tfprune.sparsity.contract import Structure, StructureChoice
from tfprune.support.files import replacing
from tfprune.targets.structures import structures_for


def run(args: argparse.Namespace) -> Outcome:
    """Prune `args.model` into `args.output`, or a file beside it."""
    options = {
        "scorer": scorers.get(args.scorer),
        "structure": _structure(*args.structure),
        "distribution": args.distribution,
        "rules": args.rules,
    }
    data = {"output": args.output, "replaced": args.replaces, "one_shot": None, "training": None}
    shown = []
    model = models.load(args.model, args.modules, args.allow_lambda)
    if args.data is None:
        stripped = one_shot.prune_at_once(model, args.sparsity, options)
    else:
        task = task_for(model, load(args.data, args.data_dir))
        if args.stages is None:
            stripped, data["training"] = finetuning.prune_gradually(model, task, args, options)
        else:
            stripped, stages, accuracies, data["training"] = one_shot.prune_in_stages(
                model, task, args, options
            )
            data["one_shot"] = {**stages.to_dict(), **accuracies}
            shown.append(f"{stages}\n")
    with replacing(args.output, name="--output") as new:
        stripped.save(new)
    found = report(stripped, verbose=False)
    lines = "\n".join([f"\n{written(args)}", *_accuracies(data)])
    return Outcome({**data, "report": found.to_dict()}, (*shown, found, lines))


def _structure(name: str, arguments: tuple[Any, ...]) -> Structure | StructureChoice:
    """The structure that `tfprune.cli.arguments.structure` has read."""
    if name == "structures_for":
        target, quantize = arguments
        return structures_for(target, quantize=quantize)
    return getattr(structures, name)(*arguments)


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
