"""The command `tfprune`: parsers that need no Keras, and commands that are imported to be run."""

import argparse
import contextlib
import json
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from tfprune.cli.messages import for_users
from tfprune.cli.parsers import bench, export, inspection, lint, prune, report, shrink
from tfprune.support.quiet import silenced
from tfprune.support.typed_text import did_you_mean

if TYPE_CHECKING:
    from tfprune.cli.terminal import Outcome

_PARSERS = (inspection, prune, shrink, export, lint, bench, report)
_PROGRAM = "tfprune"
_LONGEST_MESSAGE = 600  # characters; Keras explains some errors over pages


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument in one line, with what may have been meant, and status 2."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def, override]
        options = set(re.findall(r"--[a-z][\w-]*", self.format_usage()))
        for text in sys.argv[1:] if args is None else args:
            name = text.partition("=")[0]
            if name == "--" or not text.startswith("-") and self.prog == _PROGRAM:
                break  # what follows is for the command's own parser
            if name.startswith("--") and name not in options | {"--help"}:
                self.error(f"there is no option {name}{did_you_mean(name, options)}")
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            raise argparse.ArgumentError(
                action,
                f"invalid choice: {value!r}{did_you_mean(str(value), known)} "
                f"(choose from {', '.join(map(repr, known))})",
            )

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (--help lists the options)\n")


class _Version(argparse.Action):
    """Prints the version of the installed package."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib import metadata  # takes longer than all the rest

        with contextlib.suppress(metadata.PackageNotFoundError):
            print(f"tfprune {metadata.version('tfprune')}")
            parser.exit()
        parser.error("tfprune is not installed, so that it has no version: pip install .")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments after the program's name; those of the process by default.

    Returns:
        The exit status: 0, or 2 after an error, which is one line on standard error; 130 after an
        interrupt.

    Example:
        >>> main(["inspect", "no such file.keras"])
        2
    """
    parser = _parser()
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help()
        return 0
    args = parser.parse_args(argv)
    name = f"tfprune {args.command}"
    try:
        args.check(args)
        _print(_outcome(args), args.json)
        sys.stdout.flush()
    except (ValueError, TypeError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            # The reader of our output (`tfprune ... | head`) has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"{name}: error: {_one_line(for_users(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted, nothing written", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_PROGRAM,
        description="Prune Keras 3 models, export them to sparse TFLite files, and measure both.",
        epilog="`tfprune COMMAND --help` explains a command and gives an example.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--json",
        action="store_true",
        help="print the result as JSON, and nothing else, on standard output",
    )
    for module in _PARSERS:
        module.add_parser(commands, common)
    return parser


def _outcome(args: argparse.Namespace) -> "Outcome":
    """What the command gives; Keras is imported now, if it reads Keras models."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if args.needs_keras:
        with silenced():  # the native part of TensorFlow prints lines when it is loaded
            import keras

            keras.ops.zeros(1)
    with warnings.catch_warnings(), _results_only(args.json):
        warnings.showwarning = _show_warning
        return args.run(args)


def _print(outcome: "Outcome", as_json: bool) -> None:
    from tfprune.cli.terminal import print_outcome

    if as_json:
        print(json.dumps(outcome.data, indent=1, allow_nan=False))
    else:
        print_outcome(outcome)


@contextlib.contextmanager
def _results_only(as_json: bool) -> Iterator[None]:
    """With --json, send to standard error whatever libraries print during the work."""
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        yield


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"tfprune: warning: {_one_line(for_users(message))}", file=sys.stderr)


def _one_line(message: object) -> str:
    text = " ".join(str(message).split()) or type(message).__name__
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]} ..."
