"""`model.summary()` without variables that somebody adds to the layers of a model."""

import contextvars
import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras

_printing = contextvars.ContextVar("printing", default=False)


def counted(
    weights: list[keras.Variable], added: Callable[[], Sequence[keras.Variable]]
) -> list[keras.Variable]:
    """Return the weights of a layer; while `leave_out_added` has one printed, without the added.

    Args:
        weights: of the layer.
        added: () -> those of them that were added; asked for only then.
    """
    if not _printing.get():
        return weights
    hidden = {id(variable) for variable in added()}
    return [variable for variable in weights if id(variable) not in hidden]


def leave_out_added(model: keras.Model) -> None:
    """Have the model's `summary()` count what the plain model has.

    Args:
        model: one whose layers with further variables return `counted` weights.
    """
    model.summary = functools.partial(_summary, weakref.ref(model))


def _summary(model: weakref.ref[keras.Model], *args: Any, **options: Any) -> Any:
    owner: Any = model()
    token = _printing.set(True)
    try:
        return type(owner).summary(owner, *args, **options)
    finally:
        _printing.reset(token)
