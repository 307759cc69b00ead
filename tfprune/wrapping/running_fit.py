"""Which `fit` is running around a piece of code, what it was given; schedules over it.

The stack is looked at because a `fit` that is interrupted tells nobody that it has ended, and
callbacks are not told all of its arguments.
"""

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from types import FrameType

import keras

from tfprune.sparsity.schedules import Schedule
from tfprune.sparsity.update_steps import is_open
from tfprune.wrapping.pruned_layer import PrunedLayer, pruned_layers


def arguments_of_fit(layers: Sequence[PrunedLayer]) -> Mapping[str, object] | None:
    """Return what the `fit` around the caller was given that trains some of these layers.

    Args:
        layers: `PrunedLayer`s.

    Returns:
        The names of the `fit` and their values; None where none is running.

    Example:
        >>> arguments_of_fit([]) is None
        True
    """
    wanted = set(layers)
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "fit":
            found = frame.f_locals
            model = found.get("self")
            if isinstance(model, keras.Model) and wanted.intersection(pruned_layers(model)):
                return found
        frame = frame.f_back
    return None


def lay_out(layers: Sequence[PrunedLayer], steps: int | None) -> list[Schedule]:
    """Lay schedules in shares of a training out over it, from pruning step 0 on.

    Args:
        layers: `PrunedLayer`s; those that are not built are built with the new schedules.
        steps: optimizer steps of the training, None where nobody knows.

    Returns:
        What was made of them, each once.

    Raises:
        ValueError: if there are such schedules and the length of the training is not known.
    """
    made: list[Schedule] = []

    def closed(schedule: Schedule) -> Schedule:
        if not is_open(schedule):
            return schedule
        if not steps:
            raise ValueError(
                "A schedule in shares of the training needs to know its length: give `fit` data of "
                "known length or `steps_per_epoch`, PruningUpdater `steps`, or the schedule "
                f"`begin_step` and `end_step`. Received: {schedule}."
            )
        found = schedule.over(steps)
        made.extend([found] if found not in made else [])
        return found

    for layer in layers:
        own = layer.schedule
        layer.schedule = (
            [None if item is None else closed(item) for item in own]
            if isinstance(own, list)
            else closed(own)
        )
        layer.pruned = tuple(
            dataclasses.replace(pruned, schedule=closed(pruned.schedule)) for pruned in layer.pruned
        )
    return made
