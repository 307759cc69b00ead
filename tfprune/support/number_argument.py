"""An argument type for argparse; imports no Keras, so that `--help` answers at once."""

import argparse
import contextlib
import math
from collections.abc import Callable
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
    """

    def convert(text: str) -> Number:
        with contextlib.suppress(ValueError):
            value = kind(text)
            if low <= value < high:
                return value
        raise argparse.ArgumentTypeError(f"must be {what}. Received: {text}")

    return convert
