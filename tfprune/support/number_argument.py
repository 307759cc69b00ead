"""An argument type for argparse; imports no Keras, so that `--help` answers at once."""

import argparse
import math
from collections.abc import Callable
from typing import Any


def number(kind: Callable[[str], Any], what: str, low: float, high: float = math.inf) -> Any:
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

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value < high:
            raise argparse.ArgumentTypeError(f"must be {what}. Received: {text}")
        return value

    return convert
