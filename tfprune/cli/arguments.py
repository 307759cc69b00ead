"""Arguments of the command line, converted and checked without Keras.

argparse turns the errors of the converters into one line.
"""

import argparse
import contextlib
import importlib.util
import os
import re
from importlib.machinery import PathFinder
from typing import Any, Protocol

from tfprune.cli import files
from tfprune.cli.choices import QUANTIZE, SCORERS, SCORERS_WITHOUT_DATA, TARGETS
from tfprune.support.files import require_writable
from tfprune.support.typed_text import number

# Text before the numbers -> class of tfprune.sparsity.structures, and what separates its numbers.
_STRUCTURES = {
    "unstructured": ("Unstructured", ":", 0),
    "block": ("Block", "x", 2),
    "nofm": ("NofM", ":", 2),
    "channel": ("Channel", ":", 0),
}
# Attribute -> option, of the files that commands write and read.
_WRITTEN = {"output": "--output", "html": "--html", "c_array": "--c-array"}
_READ = {
    "model": "MODEL",
    "teacher": "--teacher",
    "representative_data": "--representative-data",
}


class Commands(Protocol):
    """What `argparse.ArgumentParser.add_subparsers` returns."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
        """Return the parser of a new command."""


def add_command(
    commands: Commands, common: argparse.ArgumentParser, **options: Any
) -> argparse.ArgumentParser:
    """Add a subcommand.

    Args:
        commands: from `add_subparsers`.
        common: parser of the options that all commands have.
        **options: `name`; `check`, which is called with the arguments first, raises ValueError for
            what cannot work and needs no Keras; `run`, which is called next and returns an
            `Outcome`; `summary` (one line), `description` and `example`; `needs_keras`, True unless
            it is given: whether Keras is imported before `run`.

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
    parser.set_defaults(
        check=options["check"], run=options["run"], needs_keras=options.get("needs_keras", True)
    )
    return parser


def add_loading(parser: argparse.ArgumentParser) -> None:
    """Add the options of the commands that load a model: `--import` and `--allow-lambda`.

    Args:
        parser: of the command.
    """
    group = parser.add_argument_group("models with code of their own")
    group.add_argument(
        "--import",
        action="append",
        type=module,
        default=[],
        dest="modules",
        metavar="MODULE",
        help="module with classes and functions of the model, installed or in this folder; "
        "repeatable",
    )
    group.add_argument(
        "--allow-lambda",
        action="store_true",
        help="let Lambda layers run the Python code that is in the file; for files that you trust",
    )


def add_scorer(parser: argparse.ArgumentParser) -> None:
    """Add the option `--scorer` of the commands that choose what is removed."""
    parser.add_argument(
        "--scorer",
        choices=SCORERS,
        default="magnitude",
        metavar="NAME",
        help=f"what is kept: {', '.join(SCORERS)}; all but {' and '.join(SCORERS_WITHOUT_DATA)} "
        "need --data; default: %(default)s",
    )


def settle_files(args: argparse.Namespace, suffix: str, ending: str) -> None:
    """Raise ValueError unless there is a model, and its output may be; complete the output's name.

    Args:
        args: as parsed; changed in place. `output` is beside the model where none was given, gets
            the model's name where it is a folder, and an ending where it has none; `replaces` is
            whether there is such a file.
        suffix: put behind the model's name, such as "-pruned".
        ending: of the output, such as ".keras".
    """
    files.require_model(args.model)
    stem = f"{os.path.splitext(args.model)[0]}{suffix}{ending}"
    output = args.output or stem
    if args.output and (os.path.isdir(output) or output.endswith(os.sep)):
        output = os.path.join(output, os.path.basename(stem))
    name, given = os.path.splitext(output)
    args.output = name + ending if not given else output
    if given not in ("", ending):
        raise ValueError(f"`--output` must end in {ending}. Received: {output!r}")
    require_writable(args.output, name="--output")
    args.replaces = os.path.exists(args.output)


def require_apart(args: argparse.Namespace) -> None:
    """Raise ValueError if a file that the command writes is another one that it reads or writes.

    The output alone may be the model, which it replaces then.

    Args:
        args: as parsed, with the output's name completed; options that the command lacks are none.
    """
    given = vars(args)
    read = {option: given.get(name) for name, option in _READ.items()}
    for name in ("data", "val"):
        kind, path = given.get(name) or ("", None)
        read[f"--{name}"] = path if kind in ("file", "table") else None
    written = {option: given.get(name) for name, option in _WRITTEN.items()}
    files.require_apart(written, read, replaced=("--output", "MODEL"))


def module(text: str) -> str:
    """Return the name of a module, as Python's `import` takes it.

    Args:
        text: the name.

    Raises:
        argparse.ArgumentTypeError: for anything else, such as the name of a file, or if there is
            none of that name.

    Example:
        >>> module("json.decoder")
        'json.decoder'
    """
    if not all(part.isidentifier() for part in text.split(".")) or text.endswith(".py"):
        raise argparse.ArgumentTypeError(
            f"must be the name of a module, such as layers for layers.py. Received: {text}"
        )
    if not is_there(text):
        raise argparse.ArgumentTypeError(
            f"module {text!r} cannot be imported: none is installed or in this folder"
        )
    return text


def is_there(name: str) -> bool:
    """Return whether the package of a module is installed or in the current folder.

    Args:
        name: absolute name of the module; only its first part is looked for.

    Example:
        >>> is_there("json.decoder"), is_there("no_such_module")
        (True, False)
    """
    package = name.partition(".")[0]
    with contextlib.suppress(ValueError):  # what has no specification is imported already
        found = importlib.util.find_spec(package)
        return bool(found or PathFinder.find_spec(package, [os.getcwd()]))
    return True


def structure(text: str) -> tuple[str, tuple[object, ...]]:
    """Return the structure that a text such as "block:4x1" names.

    Args:
        text: "unstructured", "block:HxW", "nofm:N:M", "channel", "target:NAME" or
            "target:NAME:QUANTIZE".

    Returns:
        Name of a class of `tfprune.sparsity.structures` or "structures_for", and its arguments.

    Raises:
        argparse.ArgumentTypeError: for another text, or numbers out of range.

    Example:
        >>> structure("nofm:2:4"), structure("target:wasm")
        (('NofM', (2, 4)), ('structures_for', ('wasm', None)))
    """
    kind, _, rest = text.partition(":")
    if kind == "target":
        target, _, quantize = rest.partition(":")
        if target in TARGETS and quantize in ("", *QUANTIZE):
            return "structures_for", (target, quantize or None)
    name, separator, count = _STRUCTURES.get(kind, ("", ":", 0))
    parts = rest.split(separator) if rest else []
    numbers = tuple(int(part) for part in parts if part.isdecimal())
    right = name and len(parts) == len(numbers) == count and 0 not in numbers
    if not right or name == "NofM" and numbers[0] >= numbers[1]:
        raise argparse.ArgumentTypeError(
            "must be unstructured, block:HxW (such as block:4x1), nofm:N:M with N < M (such as "
            "nofm:2:4), channel, or target:NAME or target:NAME:QUANTIZE (such as target:wasm:int8) "
            f"with NAME {_listed(TARGETS)} and QUANTIZE {_listed(QUANTIZE)}. Received: {text}"
        )
    return name, numbers


def pattern(text: str) -> tuple[int, int]:
    """Return the numbers of a pattern such as "2:4", two of every four kept.

    Raises:
        argparse.ArgumentTypeError: for another text, or unless 1 <= N < M.

    Example:
        >>> pattern("2:4")
        (2, 4)
    """
    kept, _, size = text.partition(":")
    if kept.isdecimal() and size.isdecimal() and 1 <= int(kept) < int(size):
        return int(kept), int(size)
    raise argparse.ArgumentTypeError(
        f"must be N:M with N < M, such as 2:4 for two of every four kept. Received: {text}"
    )


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
    try:
        re.compile(pattern)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"must begin with a regular expression: {error}. Received: {text}"
        ) from error
    if value == "dense":
        return pattern, None
    return pattern, number(float, 'a sparsity in [0, 1) or "dense" after the "="', 0, 1)(value)


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
