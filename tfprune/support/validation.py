"""Argument checks shared by the public functions: one clear error, with the value received."""

import math
import numbers
from collections.abc import Collection
from typing import Any


def require_sparsity(name: str, value: Any) -> float:
    """Return `value` as a float when it is a sparsity, a fraction in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{name}` must be a number in [0, 1), the fraction of weights to remove. "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
    if not 0.0 <= float(value) < 1.0 or math.isnan(float(value)):
        raise ValueError(
            f"`{name}` must be in [0, 1): a fraction, never a percentage. "
            f"Received: {name}={value!r}."
        )
    return float(value)


def require_integer(name: str, value: Any, *, minimum: int) -> int:
    """Return `value` as an int when it is a whole number of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"`{name}` must be an integer. "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
    if value < minimum:
        raise ValueError(f"`{name}` must be >= {minimum}. Received: {name}={value!r}.")
    return int(value)


def require_one_of(name: str, value: Any, known: Collection[Any]) -> Any:
    """Return `value` when it is one of the `known` ones."""
    if value not in tuple(known):
        listed = ", ".join(repr(option) for option in known)
        raise ValueError(f"`{name}` must be one of {listed}. Received: {name}={value!r}.")
    return value
