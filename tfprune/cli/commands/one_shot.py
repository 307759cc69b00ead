"""Removing weights from a trained model without training it, for `tfprune prune`."""

import argparse
from typing import Any

import keras

from tfprune.cli.commands import finetuning
from tfprune.cli.data.task import Task
from tfprune.pruning.one_shot_pruning import one_shot
from tfprune.pruning.prune_model import prune
from tfprune.pruning.strip import strip_pruning
from tfprune.pruning.updater import PruningUpdater
from tfprune.reports.one_shot_report import OneShotReport
from tfprune.sparsity.schedules import OneShot


def prune_at_once(model: keras.Model, sparsity: float, options: dict[str, Any]) -> keras.Model:
    """Return the model with weights removed at once, stripped; it sees no data.

    Args:
        model: plain model.
        sparsity: fraction in [0, 1).
        options: further arguments of `tfprune.prune`.

    Raises:
        ValueError: if the model cannot be pruned like this.
    """
    pruned = prune(model, OneShot(sparsity), **options)
    PruningUpdater(pruned, keras.optimizers.SGD()).begin()  # makes the update that is due at step 0
    return strip_pruning(pruned, compile=False)


def prune_in_stages(
    model: keras.Model, task: Task, args: argparse.Namespace, options: dict[str, Any]
) -> tuple[keras.Model, OneShotReport, dict[str, Any], dict[str, Any] | None]:
    """Prune a model in stages of scoring and removal; fine-tune it if epochs are asked for.

    Args:
        model: plain model.
        task: what it is for; scores come from its training examples.
        args: of the command, checked and complete.
        options: further arguments of `tfprune.one_shot`.

    Returns:
        The stripped model, the report of its stages, and as plain values: what was measured
        before and after them (nothing without labels), and what fine-tuning did (None without it).

    Raises:
        ValueError: if the model cannot be pruned like this.
    """
    teacher = finetuning.teacher_of(model, args)
    pruned, report = one_shot(
        model,
        args.sparsity,
        data=task.data.training,
        loss=task.loss,
        stages=args.stages,
        update_weights=args.update_weights,
        refresh_batch_norm=args.refresh_batch_norm,
        spacing=args.spacing,
        examples=args.examples,
        seed=args.seed,
        verbose=not args.json,
        **options,
    )
    measured: dict[str, Any] = {"data": task.data.name, "loss": task.loss_in_words}
    if task.loss is not None:
        measured[f"{task.measure}_before"] = task.measured(model)
        measured[f"{task.measure}_after"] = task.measured(pruned)
    training = None
    if args.epochs is not None:
        after = measured[f"{task.measure}_after"]
        training = finetuning.recover(pruned, task, args, after, teacher)
    return strip_pruning(pruned, compile=False), report, measured, training
