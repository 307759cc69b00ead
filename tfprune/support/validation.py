"""Argument checks shared by the public functions: one clear error, with the value received."""

import math
import numbers
from collections.abc import Collection, Hashable, Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import keras

Option = TypeVar("Option")
Function = TypeVar("Function")


def require_sparsity(name: str, value: object) -> float:
    """Return `value` as a float when it is a sparsity, a fraction in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{name}` must be a number in [0, 1), the fraction of weights to remove. "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
    if not 0.0 <= float(value) < 1.0 or math.isnan(float(value)):
        likely = f"; did you mean {float(value) / 100:g}?" if 1.0 < float(value) < 100.0 else "."
        raise ValueError(
            f"`{name}` must be in [0, 1): a fraction, never a percentage{likely} "
            f"Received: {name}={value!r}."
        )
    return float(value)


def require_integer(name: str, value: object, *, minimum: float = -math.inf) -> int:
    """Return `value` as an int when it is a whole number of at least `minimum`; NumPy's are."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"`{name}` must be an integer. "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
    if value < minimum:
        raise ValueError(f"`{name}` must be >= {minimum}. Received: {name}={value!r}.")
    return int(value)


def require_one_of(name: str, value: Option, known: Collection[Option]) -> Option:
    """Return `value` when it is one of the `known` ones."""
    if not isinstance(value, Hashable) or value not in tuple(known):  # arrays compare entrywise
        listed = ", ".join(repr(option) for option in known)
        raise ValueError(f"`{name}` must be one of {listed}. Received: {name}={value!r}.")
    return value


def require_number(
    name: str,
    value: object,
    *,
    above: float = -math.inf,
    minimum: float = -math.inf,
    maximum: float = math.inf,
) -> float:
    """Return `value` as a float when it is a finite number in this range; NumPy's scalars are.

    Args:
        name: of the argument, for the error.
        value: as it was given.
        above: the number must be greater.
        minimum, maximum: smallest and largest number allowed.

    Example:
        >>> require_number("power", 3, above=0)
        3.0
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{name}` must be a number. Received: {name}={value!r} (of type "
            f"{type(value).__name__})."
        )
    found = float(value)
    if not math.isfinite(found) or not (found > above and minimum <= found <= maximum):
        limits = [
            text
            for limit, text in (
                (above, f"> {above:g}"),
                (minimum, f">= {minimum:g}"),
                (maximum, f"<= {maximum:g}"),
            )
            if math.isfinite(limit)
        ]
        raise ValueError(
            f"`{name}` must be {' and '.join([*limits, 'finite'])}. Received: {name}={value!r}."
        )
    return found


def require_flag(name: str, value: object) -> bool:
    """Return `value` as a bool when it is True or False; texts and numbers are refused.

    Example:
        >>> require_flag("verbose", "no")
        Traceback (most recent call last):
        TypeError: `verbose` must be True or False. Received: verbose='no' (of type str).
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(
            f"`{name}` must be True or False. "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
    return bool(value)


def require_seed(name: str, value: object) -> int:
    """Return `value` as an int when it can seed random numbers: an integer in [0, 2^32).

    Example:
        >>> require_seed("seed", 7)
        7
    """
    found = require_integer(name, value, minimum=0)
    if found >= 2**32:
        raise ValueError(f"`{name}` must be < 2^32. Received: {name}={value!r}.")
    return found


def require_callable(name: str, value: Function) -> Function:
    """Return `value` when it can be called.

    Example:
        >>> require_callable("on_stage", print) is print
        True
    """
    if not callable(value) or isinstance(value, type):
        raise TypeError(
            f"`{name}` must be a function. "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
    return value


def require_model(name: str, value: object, *, built: bool = True) -> "keras.Model":
    """Return `value` when it is a `keras.Model`, and built unless it need not be.

    Example:
        >>> require_model("model", None)
        Traceback (most recent call last):
        TypeError: `model` must be a keras.Model. Received: model=None (of type NoneType).
    """
    import keras  # the command line checks its arguments before it needs Keras

    if not isinstance(value, keras.Model):
        hint = " Use tfprune.PrunedLayer for one layer." * isinstance(value, keras.layers.Layer)
        raise TypeError(
            f"`{name}` must be a keras.Model.{hint} "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
    if built and not value.built:
        raise ValueError(
            f"Model '{value.name}' must be built: give it a keras.Input, or call it on a batch. "
            f"Received: {name}={value!r}."
        )
    return value


def require_layer(name: str, value: object) -> "keras.layers.Layer":
    """Return `value` when it is a `keras.layers.Layer`, which a model is too.

    Example:
        >>> require_layer("layer", 3)
        Traceback (most recent call last):
        TypeError: `layer` must be a keras.layers.Layer. Received: layer=3 (of type int).
    """
    import keras  # as in `require_model`

    if not isinstance(value, keras.layers.Layer):
        raise TypeError(
            f"`{name}` must be a keras.layers.Layer. "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
    return value


def require_text(name: str, value: object) -> str:
    """Return `value` when it is a text.

    Example:
        >>> require_text("name", "dense")
        'dense'
    """
    if not isinstance(value, str):
        raise TypeError(
            f"`{name}` must be a text. "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
    return value


def require_methods(name: str, value: Option, *methods: str) -> Option:
    """Return `value` when it has all of these methods.

    Example:
        >>> require_methods("quantizer", 8, "assign")
        Traceback (most recent call last):
        TypeError: `quantizer` must have the method assign. Received: quantizer=8 (of type int).
    """
    lacking = [method for method in methods if not callable(getattr(value, method, None))]
    if lacking or isinstance(value, type):
        raise TypeError(
            f"`{name}` must have the method{'s' * (len(methods) > 1)} {', '.join(methods)}. "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
    return value


def require_mapping(name: str, value: object) -> Mapping:
    """Return `value` when it is a dictionary or another mapping.

    Example:
        >>> require_mapping("config", {})
        {}
    """
    if not isinstance(value, Mapping):
        raise TypeError(
            f"`{name}` must be a dictionary. "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
    return value
