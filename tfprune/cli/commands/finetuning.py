"""Training on a data set: gradual pruning, and recovery after pruning or shrinking."""

import argparse
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tfprune.cli.commands import models
from tfprune.cli.data.sources import Data
from tfprune.cli.data.task import Task
from tfprune.compression.distillation.checks import require_alike
from tfprune.compression.distillation.distilling import distill
from tfprune.pruning.callbacks import Logs, UpdatePruningStep
from tfprune.pruning.prune_model import prune
from tfprune.pruning.strip import strip_pruning
from tfprune.sparsity.schedules import PolynomialDecay
from tfprune.support.arrays import host_array
from tfprune.support.long_work import progress

_RISING_PART = 0.6  # of the steps; the rest recovers accuracy at the final sparsity
_UPDATES = 20  # mask updates while the sparsity rises


def prune_gradually(
    model: keras.Model, task: Task, args: argparse.Namespace, options: dict[str, Any]
) -> tuple[keras.Model, dict[str, Any]]:
    """Fine-tune a model while its sparsity rises.

    Args:
        model: plain model.
        task: what it is for, with the examples.
        args: of the command, checked and complete.
        options: further arguments of `tfprune.prune`.

    Returns:
        The stripped model, and what was done with what was measured, as plain values.

    Raises:
        ValueError: if the model cannot be pruned.
    """
    steps = _steps(task.data, args)
    end_step = max(1, round(_RISING_PART * steps))
    schedule = PolynomialDecay(
        0.0,
        args.sparsity,
        begin_step=0,
        end_step=end_step,
        frequency=max(1, end_step // _UPDATES),
    )
    pruned = prune(model, schedule, **options)
    teacher = teacher_of(model, args)
    before = task.measured(model)
    updates = UpdatePruningStep(
        task.data.training,
        examples=args.examples,
        update_weights=args.update_weights,
        verbose=False,  # one progress bar at a time
    )
    _fit(pruned, task, args, "Pruning", [updates], teacher)
    stripped = strip_pruning(pruned, compile=False)
    return stripped, {
        **_description(task, args),
        "end_step": end_step,
        f"{task.measure}_before": before,
        f"{task.measure}_after": task.measured(stripped),
    }


def recover(
    model: keras.Model,
    task: Task,
    args: argparse.Namespace,
    before: float,
    teacher: keras.Model | None,
) -> dict[str, Any]:
    """Fine-tune a model in place; masks of a pruned one are finished, and stay.

    Args:
        model: from `tfprune.one_shot` or `tfprune.channels.prune`.
        task: what it is for, with the examples.
        args: of the command, checked and complete.
        before: what the task has measured of it.
        teacher: from `teacher_of`.

    Returns:
        What was done with what was measured, as plain values.
    """
    _fit(model, task, args, "Fine-tuning", [], teacher)
    return {
        **_description(task, args),
        "end_step": 0,
        f"{task.measure}_before": before,
        f"{task.measure}_after": task.measured(model),
    }


def teacher_of(model: keras.Model, args: argparse.Namespace) -> keras.Model | None:
    """Return what is learnt from beside the labels: the model as it was, or the one that was named.

    Args:
        model: as it was, dense.
        args: of the command, checked and complete.

    Raises:
        ValueError: if the one that was named has other inputs or outputs. What is made of the model
            keeps them, so that this is known before anything is made.
    """
    if args.epochs is None or not args.distill:
        return None
    if args.teacher is None:
        return model
    teacher = models.load(args.teacher, args.modules, args.allow_lambda)
    require_alike(model, teacher)
    return teacher


def _steps(data: Data, args: argparse.Namespace) -> int:
    return math.ceil(data.train.count / args.batch_size) * args.epochs


def _description(task: Task, args: argparse.Namespace) -> dict[str, Any]:
    return {
        "data": task.data.name,
        "epochs": args.epochs,
        "steps": _steps(task.data, args),
        "loss": task.loss_in_words,
        "teacher": args.teacher or (args.model if args.distill else None),
    }


def _fit(
    model: keras.Model,
    task: Task,
    args: argparse.Namespace,
    text: str,
    callbacks: list[keras.callbacks.Callback],
    teacher: keras.Model | None,
) -> None:
    """Train with Adam, under a progress bar with this text.

    Raises:
        ValueError: if a weight is not finite in the end.
    """
    keras.utils.set_random_seed(args.seed)
    if teacher is not None:
        model = distill(model, teacher)
    model.compile(optimizer=keras.optimizers.Adam(args.learning_rate), loss=task.loss)
    train = task.data.train
    with progress(text, total=_steps(task.data, args), quiet=args.json) as advance:
        model.fit(
            train.x,
            train.y,
            sample_weight=train.sample_weight,
            batch_size=args.batch_size,
            epochs=args.epochs,
            verbose=0,
            callbacks=[*callbacks, _Advance(advance, text, args.epochs)],
        )
    for weight in model.trainable_weights:
        if not np.isfinite(host_array(weight.value)).all():
            raise ValueError(
                "training must end with finite weights. Received: NaN or infinity in "
                f"{weight.path!r} after {args.epochs} epochs with --learning-rate "
                f"{args.learning_rate:g}; nothing was written"
            )


class _Advance(keras.callbacks.Callback):
    """Moves the progress bar by one after every batch."""

    def __init__(self, advance: Callable[..., None], text: str, epochs: int):
        super().__init__()
        self._advance = advance
        self._text = text
        self._epochs = epochs
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        loss = float((logs or {}).get("loss", math.nan))
        self._advance(f"{self._text}, epoch {self._epoch} of {self._epochs}, loss {loss:.4f}")
