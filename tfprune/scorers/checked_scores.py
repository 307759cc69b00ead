"""What scorers and update rules give, checked before anything is set."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfprune.scorers.protocol import Arrays
from tfprune.sparsity.selection import Magnitude


def checked_arrays(
    found: object, weights: Arrays, what: str, *, boolean: bool = False
) -> dict[str, Any]:
    """Return name -> array, once there is one of the weight's shape and a fit dtype for each.

    Args:
        found: what a scorer or an update rule gave.
        weights: name -> weight that it was asked about.
        what: it is called in errors.
        boolean: whether arrays must be boolean; they must be real otherwise.

    Raises:
        TypeError: if it is no dictionary; ValueError if an array is missing or does not fit.

    Example:
        >>> checked_arrays({"w": [2.0, 1.0]}, {"w": np.ones(2)}, "Scores")
        {'w': array([2., 1.])}
    """
    if not isinstance(found, Mapping):
        raise TypeError(
            f"{what} must be a dictionary with an array for each weight. "
            f"Received: {found!r} (of type {type(found).__name__})."
        )
    arrays: dict[str, Any] = {}
    for name, w in weights.items():
        value = found.get(name)
        array: Any = value if isinstance(value, Magnitude) else np.asarray(value)
        kind = "f" if isinstance(array, Magnitude) else array.dtype.kind
        if value is None or array.shape != w.shape or kind not in ("b" if boolean else "biuf"):
            got = "none" if value is None else f"shape {array.shape}, {np.asarray(array).dtype}"
            raise ValueError(
                f"{what} must be {'boolean' if boolean else 'real'} arrays of the shapes of the "
                f"weights. Received: {got} for '{name}', shape {w.shape}."
            )
        arrays[name] = array
    return arrays


def checked_change(predicted: object) -> float:
    """Return the change of the loss that a scorer predicts, once it is a number.

    Raises:
        TypeError: if it is none.

    Example:
        >>> checked_change(np.float32(0.5))
        0.5
    """
    try:
        return float(predicted)  # type: ignore[arg-type]  # or it raises
    except (TypeError, ValueError) as error:
        raise TypeError(
            "`predict` must return a number, the change of the loss. "
            f"Received: {predicted!r} (of type {type(predicted).__name__})."
        ) from error
