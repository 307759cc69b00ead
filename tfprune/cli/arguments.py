"""Conversion of command line arguments; argparse turns their errors into one line."""

import argparse
import math
from collections.abc import Callable
from typing import Any

from tfprune.sparsity.structures import Block, Channel, NofM, Structure, Unstructured
from tfprune.targets.structures import TargetStructures, structures_for


def add_command(commands: Any, common: argparse.ArgumentParser, **options: Any) -> Any:
    """Add a subcommand.

    Args:
        commands: from `add_subparsers`.
        common: parser of the options that all commands have.
        **options: `name`, `run`, `summary` (one line), `description` and `example`.

    Returns:
        Its parser.
    """
    parser = commands.add_parser(
        options["name"],
        parents=[common],
        help=options["summary"],
        description=f"{options['summary']}\n\n{options['description']}",
        epilog=f"example:\n  {options['example']}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=options["run"])
    return parser


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


def structure(text: str) -> Structure | TargetStructures:
    """Return the structure that a text such as "block:4x1" names.

    Args:
        text: "unstructured", "block:HxW", "nofm:N:M", "channel", "target:NAME" or
            "target:NAME:QUANTIZE".

    Raises:
        ValueError: for another text, or numbers out of range.

    Example:
        >>> structure("nofm:2:4")
        NofM(kept=2, m=4, axis=-2)
    """
    kind, _, rest = text.partition(":")
    if kind == "target":
        target, _, quantize = rest.partition(":")
        return structures_for(target, quantize=quantize or None)
    makers: dict[str, tuple[Any, str, int]] = {
        "unstructured": (Unstructured, ":", 0),
        "block": (Block, "x", 2),
        "nofm": (NofM, ":", 2),
        "channel": (Channel, ":", 0),
    }
    make, separator, count = makers.get(kind, (None, ":", 0))
    numbers = rest.split(separator) if rest else []
    if make is None or len(numbers) != count or not all(n.isdecimal() for n in numbers):
        raise ValueError(
            "`--structure` must be unstructured, block:HxW (such as block:4x1), nofm:N:M (such as "
            f"nofm:2:4), channel or target:NAME (such as target:wasm). Received: {text!r}"
        )
    return make(*map(int, numbers))


def rule(text: str) -> tuple[str, float | None]:
    """Return the pair (regex, sparsity or None) that a text such as "conv1/.*=0.5" stands for.

    Args:
        text: REGEX=VALUE, where VALUE is a sparsity in [0, 1) or "dense".

    Raises:
        argparse.ArgumentTypeError: for a text of another form.

    Example:
        >>> rule("conv1/.*=0.5"), rule(".*/bias=dense")
        (('conv1/.*', 0.5), ('.*/bias', None))
    """
    pattern, separator, value = text.rpartition("=")
    if not separator or not pattern:
        raise argparse.ArgumentTypeError(
            f"must be REGEX=VALUE, such as 'conv1/.*=0.5' or 'logits/.*=dense'. Received: {text}"
        )
    if value == "dense":
        return pattern, None
    return pattern, number(float, 'a sparsity in [0, 1) or "dense" after the "="', 0, 1)(value)
