"""What `IterativeTaylor` says of how a training went: errors and warnings."""

import os
import warnings
from collections.abc import Sequence

import numpy as np

from tfprune.channels.coupling.groups import Group
from tfprune.channels.gradual.gates import ChannelAxis
from tfprune.channels.gradual.stepwise import Progress, Stepwise
from tfprune.wrapping.shortfall import PREFIX


def require_heard(model: str, heard: bool) -> None:
    """Raise ValueError if training steps of the model pass the callback by."""
    if not heard:
        raise ValueError(
            "IterativeTaylor must see the gradients of every batch. Received: an epoch without "
            "any; compile the training step after `on_train_begin`, have it call `apply` of "
            f"the optimizer of '{model}', and take one IterativeTaylor a `fit`."
        )


def require_scored(axes: Sequence[ChannelAxis], unknown: np.ndarray) -> None:
    """Raise ValueError if channels may go that no gradient says anything of.

    Args:
        axes: of the gates.
        unknown: by root, whether it is such a channel.
    """
    if unknown.any():
        paths = [axis.weight.path for axis in axes if unknown[axis.roots].any()]
        raise ValueError(
            "IterativeTaylor must see a gradient for every channel that may go. Received: none for "
            f"'{paths[0]}'; have the optimizer train it, or its channels stay with `rules`."
        )


def require_belonging(
    backup: str | os.PathLike[str], stepwise: Stepwise, gone: np.ndarray, zero: np.ndarray
) -> None:
    """Raise ValueError if a backup is not of the model as it is, or of other options.

    Args:
        backup: the file.
        stepwise: what may go.
        gone: by root, what is gone by the backup.
        zero: by root, what is zero in the model.
    """
    why = ""
    if (gone & ~zero).any():
        why = f"not zero in '{stepwise.model}'; restore the model that was saved with it"
    elif (gone != stepwise.allowed(gone)).any():
        why = f"to stay in '{stepwise.model}' by the options; take those it was written with"
    if why:
        raise ValueError(
            "`backup` must belong to the model as it is. Received: "
            f"backup={os.fspath(backup)!r}, with channels that are gone and are {why}, or delete "
            "the file to begin again."
        )


def tell_zeros(groups: Sequence[Group], gone: np.ndarray) -> None:
    """Warn of channels that count as gone though nobody is known to have removed them."""
    counts = {group.name: int(gone[group.channels].sum()) for group in groups}
    text = ", ".join(f"{count} of '{name}'" for name, count in counts.items() if count)
    if text:
        warnings.warn(
            f"Counted as gone: channels that are zero as training begins ({text}). They stay at "
            "zero, and removal goes on from there.",
            stacklevel=3,
        )


def tell_held_again(model: str, number: int) -> None:
    """Warn of channels that were gone, had come back, and are zero again."""
    warnings.warn(
        f"Set to zero again: {number} channels of '{model}' that are gone. They had been given "
        "weights, as by EarlyStopping(restore_best_weights=True), and the model does not compute "
        "what it did with these; let it choose among weights of after the last update.",
        stacklevel=4,
    )


def tell_end(stepwise: Stepwise, progress: Progress) -> None:
    """Warn of a training that ends far from its target."""
    state = stepwise.state(progress)
    if not progress.finished:
        text = (
            f"{PREFIX}: {state} Train longer (another fit goes on from there), or have more go at "
            "an update with `per_update`."
        )
    elif stepwise.misses(progress.gone):
        less = stepwise.cost(progress.gone) < stepwise.target
        text = (
            f"{'More is gone than asked' if less else PREFIX}: {state} What is gone stays gone, "
            "and no further update comes nearer."
        )
    else:
        return
    warnings.warn(text, stacklevel=3)
