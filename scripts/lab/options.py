"""Options of the commands: a wrong one is reported in one line."""

import argparse
import math
from collections.abc import Callable
from typing import Any, NoReturn


class OneLineParser(argparse.ArgumentParser):
    """Reports a wrong argument in one line and exits with status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (--help lists the options)\n")


def number(kind: Callable[[str], float], what: str, low: float, high: float) -> Any:
    """An argument type: a number in [low, high)."""

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value < high:
            raise argparse.ArgumentTypeError(f"must be {what}. Received: {text}")
        return value

    return convert
