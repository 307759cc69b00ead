"""`tfprune prune`: a model pruned at once, in stages, or gradually while it is fine-tuned."""

import argparse
import dataclasses
from typing import Any

import keras

from tfprune import scorers
from tfprune.cli.commands import advice, finetuning, models, one_shot
from tfprune.cli.data import sources
from tfprune.cli.data.task import Task, task_for, unlabelled
from tfprune.cli.data_arguments import needs_labels
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
    data: dict[str, Any] = {"output": args.output, "replaced": args.replaces}
    data |= {"one_shot": None, "training": None}
    shown: list[Any] = []
    model = models.load(args.model, args.modules, args.allow_lambda)
    model = advice.plain_or_told(model, args.model, args.sparsity)
    task = None
    if args.data is None:
        stripped = one_shot.prune_at_once(model, args.sparsity, options)
    else:
        task = _task(model, args)
        if args.stages is None:
            stripped, data["training"] = finetuning.prune_gradually(model, task, args, options)
        else:
            stripped, stages, measured, data["training"] = one_shot.prune_in_stages(
                model, task, args, options
            )
            data["one_shot"] = {**stages.to_dict(), **measured}
            shown.append(f"{stages}\n")
    with replacing(args.output, name="--output") as new:
        stripped.save(new)
    found = report(stripped, verbose=False)
    told = [] if task is None else _measured(task, data, args)
    lines = "\n".join([f"\n{written(args)}", *told])
    shown += [found.table() if args.all else found, lines]
    return Outcome({**data, "report": found.to_dict()}, tuple(shown))


def _task(model: keras.Model, args: argparse.Namespace) -> Task:
    """What the model is for, with the examples; without labels where none are needed."""
    labels = needs_labels(args)
    data = sources.of_command(args, model, labels=labels)
    if not labels and (data.train.y is None or data.test.y is None):
        train, test = (dataclasses.replace(part, y=None) for part in (data.train, data.test))
        return unlabelled(dataclasses.replace(data, train=train, test=test))
    return task_for(model, data, args.loss)


def _structure(name: str, arguments: tuple[Any, ...]) -> Structure | StructureChoice:
    """The structure that `tfprune.cli.arguments.structure` has read."""
    if name == "structures_for":
        target, quantize = arguments
        return structures_for(target, quantize=quantize)
    return getattr(structures, name)(*arguments)


def _measured(task: Task, data: dict[str, Any], args: argparse.Namespace) -> list[str]:
    """Lines on the examples, the loss, what was measured on the tests, and what to do about it."""
    stages, training = data["one_shot"], data["training"]
    first, before = stages or training, f"{task.measure}_before"
    lines = [f"Data: {remark}" for remark in task.data.remarks]
    if task.loss is None:
        return lines
    lines.append(task.note(args.loss))
    values = [first[before]]
    parts = [f"{task.in_words(first[before])} before"]
    if stages:
        values.append(stages[f"{task.measure}_after"])
        parts.append(f"{task.in_words(values[-1])} pruned")
    if training:
        epochs = training["epochs"]
        values.append(training[f"{task.measure}_after"])
        parts.append(f"{task.in_words(values[-1])} after {epochs} epoch{'s' * (epochs > 1)}")
    line = f"Test {task.measure} on {task.data.tests or task.data.name}: {', '.join(parts)}"
    if training and not stages:
        line += f" (final sparsity from step {training['end_step']:,} of {training['steps']:,})"
    lines.append(line)
    if task.measure == "accuracy":
        less = f"--sparsity {max(0.1, 2 * args.sparsity - 1):.3g} to remove less"
        lines += advice.on_accuracy(values[0], values[-1], args, less=less)
    return lines
