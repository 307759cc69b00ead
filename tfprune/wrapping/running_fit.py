"""Which `fit` is running around a piece of code, and what it was given.

The stack is looked at because a `fit` that is interrupted tells nobody that it has ended, and
callbacks are not told all of its arguments.
"""

import inspect
from collections.abc import Mapping, Sequence
from types import FrameType

import keras

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
