"""What people type: numbers for argparse, and names that are nearly right; imports no Keras."""

import argparse
import contextlib
import math
from collections.abc import Callable, Iterable
from typing import TypeVar

Number = TypeVar("Number", int, float)


def number(
    kind: Callable[[str], Number], what: str, low: float, high: float = math.inf
) -> Callable[[str], Number]:
    """Return an argument type: a number in [low, high).

    Args:
        kind: int or float.
        what: the range in words.
        low: smallest value.
        high: first value that is too large.

    Example:
        >>> number(int, "an integer >= 1", 1)("3")
        3
        >>> number(float, "a fraction in [0, 1)", 0, 1)("90%")
        Traceback (most recent call last):
        argparse.ArgumentTypeError: must be a fraction in [0, 1), did you mean 0.9? Received: 90%
    """

    def convert(text: str) -> Number:
        with contextlib.suppress(ValueError):
            value = kind(text)
            if low <= value < high:
                return value
        hint = _as_fraction(text) if (low, high) == (0, 1) else ""
        raise argparse.ArgumentTypeError(f"must be {what}{hint or '.'} Received: {text}")

    return convert


def _as_fraction(text: str) -> str:
    """What a percentage is as a fraction; "" for what is none."""
    with contextlib.suppress(ValueError):
        value = float(text.removesuffix("%"))
        if 1 < value < 100 or text.endswith("%") and 0 <= value < 100:
            return f", did you mean {value / 100:g}?"
    return ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ", did you mean ...?" with the known name that is most like another one, or "".

    Args:
        name: that is not known.
        known: names that are.

    Example:
        >>> did_you_mean("woodfischer", ["fisher", "woodfisher"]), did_you_mean("x", ["fisher"])
        (", did you mean 'woodfisher'?", '')
    """
    import difflib  # needed after an error only

    near = difflib.get_close_matches(name, list(known), 1)
    return f", did you mean {near[0]!r}?" if near else ""
