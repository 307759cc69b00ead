"""What to do next, where a command has cost accuracy or finds zeros already."""

import argparse
import warnings

import keras

from tfprune.pruning.strip import strip_pruning
from tfprune.reports.measuring import report
from tfprune.wrapping.pruned_layer import pruned_layers

_TOO_MUCH = 0.02  # of accuracy lost
_SPARSE = 0.05  # share of zeros that no training leaves by chance


def on_accuracy(before: float, after: float, args: argparse.Namespace, *, less: str) -> list[str]:
    """Return a line of advice if accuracy has fallen by more than two points, else none.

    Args:
        before: fraction of the test labels that were predicted.
        after: the same of what is written.
        args: of the command.
        less: what asks for less to be removed.
    """
    if before - after <= _TOO_MUCH:
        return []
    distilled = "" if args.distill else " --distill"
    trained = getattr(args, "stages", None) is None and args.epochs is not None
    steps = [f"--epochs {5 if args.epochs is None else 2 * args.epochs}{distilled} to train more"]
    steps.append(less)
    steps.append(f"another --scorer than {args.scorer}" + " or --stages 3" * trained)
    return [f"Accuracy fell by {100 * (before - after):.1f} points. To try: {'; '.join(steps)}"]


def plain_or_told(model: keras.Model, path: str, sparsity: float) -> keras.Model:
    """Return a model without masks; say what zeros it has, and that pruning goes on from them.

    Args:
        model: plain or pruned.
        path: its file.
        sparsity: asked for.
    """
    masked = bool(pruned_layers(model))
    if masked:
        model = strip_pruning(model, compile=False)
    zeros = report(model, verbose=False).prunable.sparsity
    if masked or zeros >= _SPARSE:
        enough = ": at most a few weights are left to remove" * (zeros >= sparsity)
        warnings.warn(
            f"{path} is sparse already, {zeros:.2%} of its prunable weights are zeros"
            f"{', and its masks were made permanent' * masked}. They count towards --sparsity "
            f"{sparsity:g}, and pruning goes on from there{enough}.",
            stacklevel=2,
        )
    return model
