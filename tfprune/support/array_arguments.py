"""Checks of arguments that are arrays, shapes of arrays or steps, in the form of `validation`."""

import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tfprune.support.validation import require_mapping


def require_shape(name: str, value: Any) -> tuple[int, ...]:
    """Return `value` as a tuple when it is the shape of an array.

    Example:
        >>> require_shape("shape", [3, 4])
        (3, 4)
    """
    listed = isinstance(value, tuple | list)
    if not listed or not all(isinstance(size, int | np.integer) and size >= 0 for size in value):
        raise TypeError(
            f"`{name}` must be a tuple of integers >= 0. "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
    return tuple(map(int, value))


def require_step(name: str, value: Any) -> Any:
    """Return `value` as it is when it can be a step: a number, or a tensor that is one.

    Example:
        >>> require_step("step", 3)
        3
    """
    if isinstance(value, numbers.Real) and not math.isnan(value):
        return value
    if getattr(value, "shape", None) == () and not isinstance(value, np.number):
        return value
    raise TypeError(
        f"`{name}` must be a number of steps. "
        f"Received: {name}={value!r} (of type {type(value).__name__})."
    )


def require_array(name: str, value: Any) -> Any:
    """Return `value` as an array when it has entries that are real numbers or booleans.

    What says its shape and size itself, such as an array or a `Magnitude`, is returned as it is.

    Example:
        >>> require_array("scores", [2, 1])
        array([2, 1])
    """
    found = value if _is_like_an_array(value) else _as_array(value)
    if found is None or getattr(found, "dtype", np.dtype(float)).kind in "OUScmM":
        raise TypeError(
            f"`{name}` must be an array of real numbers. "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
    if found.size == 0:
        raise ValueError(f"`{name}` must not be empty. Received: {name}, shape {found.shape}.")
    return found


def require_arrays(name: str, value: Any, *, like: Iterable[str] = ()) -> Any:
    """Return `value` when it maps names to arrays, those that `like` has among them.

    Example:
        >>> require_arrays("masks", {}, like=["w"])
        Traceback (most recent call last):
        ValueError: `masks` must have an array for each weight. Received: masks={}, without 'w'.
    """
    require_mapping(name, value)
    for key, item in value.items():
        if not _is_like_an_array(item):
            raise TypeError(
                f"`{name}` must be a dictionary of arrays. "
                f"Received: {name}[{key!r}]={item!r} (of type {type(item).__name__})."
            )
    missing = next((key for key in like if key not in value), None)
    if missing is not None:
        raise ValueError(
            f"`{name}` must have an array for each weight. "
            f"Received: {name}={_names(value)}, without {missing!r}."
        )
    return value


def require_groups(name: str, value: Any, count: int) -> np.ndarray:
    """Return `value` when it is an array with one entry for each of `count` groups.

    Example:
        >>> require_groups("groups", np.ones(3, bool), 2)
        Traceback (most recent call last):
        ValueError: `groups` must have one entry for each of 2 groups. Received: groups, shape (3,).
    """
    if not isinstance(value, np.ndarray):
        raise TypeError(
            f"`{name}` must be an array with one entry for each group. "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
    if value.size != count:
        raise ValueError(
            f"`{name}` must have one entry for each of {count} groups. "
            f"Received: {name}, shape {value.shape}."
        )
    return value


def _is_like_an_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "size") and not isinstance(value, type)


def _as_array(value: Any) -> np.ndarray | None:
    try:
        return None if isinstance(value, Mapping | type) else np.asarray(value)
    except (TypeError, ValueError):  # ragged, or nothing that NumPy knows
        return None


def _names(value: Mapping[str, Any]) -> str:
    return "{" + ", ".join(map(repr, value)) + "}"
