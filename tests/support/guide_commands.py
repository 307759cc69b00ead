"""The commands in the READMEs: run where they are quick, else read by their own parsers."""

import argparse
import contextlib
import io
import re
import runpy
import shlex
import sys
import warnings
from pathlib import Path
from unittest import mock

import keras
import numpy as np

from models.data import arrays
from tfprune.cli import main as tfprune_command
from tfprune.export import to_tflite
from tfprune.export.run import wasm

ROOT = Path(__file__).resolve().parents[2]

_OUTPUTS = ("-o", "--output", "--out", "--html")
_UNFINISHED = re.compile("required|expected")  # what argparse says of a mere mention


class _Parsed(BaseException):
    """Stops a command when its arguments are parsed."""


def command_lines(text: str) -> list[list[str]]:
    """Return the words of each command in a block, without comments and set variables.

    Example:
        >>> command_lines("A=1 python -m scripts.readme --check  # compare")
        [['python', '-m', 'scripts.readme', '--check']]
    """
    lines = text.replace("\\\n", " ").splitlines()
    found = (shlex.split(line, comments=True) for line in lines)
    return [_without_variables(words) for words in found if words]


def run_commands(text: str, folder: Path) -> None:
    """Run the `tfprune` commands of a block in the working folder, and check all others.

    Args:
        text: of the block.
        folder: the working folder, in which small files appear for those that are read.

    Raises:
        AssertionError: if a command fails, does not exist or does not know its options.
    """
    for words in command_lines(text):
        if _program(words) != "tfprune" or ("wasm" in words and not wasm.is_installed()):
            check_command(words)
            continue
        _make_missing(words, folder)
        assert tfprune_command(_arguments(words)) == 0, words


def check_command(words: list[str], *, mention: bool = False) -> None:
    """Raise AssertionError where a command does not exist or does not know its options.

    Args:
        words: of the command.
        mention: whether it may lack arguments, as `tfprune prune --data` in a sentence does.
    """
    program, arguments = _program(words), _arguments(words)
    if program == "pip":
        _check_extras(words)
        return
    if program.endswith(".sh"):
        file = ROOT / program
        assert file.stat().st_mode & 0o100, f"{program} must be executable"
        passed = re.search(r'-m (scripts[\w.]*) "\$@"', file.read_text(encoding="utf-8"))
        if passed is None:
            return
        program = passed[1]
    status, said = _parse(program, arguments)
    if mention and status and _UNFINISHED.search(said):
        command = [word for word in arguments[:1] if not word.startswith("-")]
        status, said = _parse(program, [*command, "--help"])
        options = {word for word in arguments if word.startswith("-")}
        assert options <= set(re.findall(r"(?<!\S)--?[a-z][\w-]*", said)), words
    assert status == 0, f"{words}: {said}"


def _without_variables(words: list[str]) -> list[str]:
    first = next(i for i, word in enumerate(words) if not re.match(r"[A-Z_]+=", word))
    return words[first:]


def _program(words: list[str]) -> str:
    """The module, script or program that the words name."""
    if words[:2] == ["python", "-m"]:
        return words[2]
    return words[0].removeprefix("./")


def _arguments(words: list[str]) -> list[str]:
    return words[3:] if words[:2] == ["python", "-m"] else words[1:]


def _parse(program: str, arguments: list[str]) -> tuple[int, str]:
    """Let a module read its arguments; return the status, and what it said of them or of itself."""
    original, said = argparse.ArgumentParser.parse_args, io.StringIO()

    def parse_args(self, *args, **kwargs):
        original(self, *args, **kwargs)
        raise _Parsed

    module = "tfprune" if program == "tfprune" else program
    assert module == "tfprune" or module.startswith("scripts."), f"unknown program {program}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(argparse.ArgumentParser, "parse_args", parse_args))
        stack.enter_context(mock.patch.object(sys, "argv", [program, *arguments]))
        stack.enter_context(contextlib.redirect_stdout(said))
        stack.enter_context(contextlib.redirect_stderr(said))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", RuntimeWarning)  # the module may be imported already
        try:
            runpy.run_module(module, run_name="__main__")
        except _Parsed:
            return 0, said.getvalue()
        except SystemExit as stop:  # how argparse ends
            return int(stop.code or 0), said.getvalue()
    raise AssertionError(f"{program} has parsed no arguments")


def _check_extras(words: list[str]) -> None:
    known = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    for extra in re.findall(r"\[(\w+)\]", " ".join(words)):
        assert re.search(rf"^{extra} =$", known, re.MULTILINE), f"{words}: no extra {extra}"


def _make_missing(words: list[str], folder: Path) -> None:
    """Write small files under the names that a command reads and that are not there."""
    for before, word in zip(words, words[1:]):
        file = folder / word
        if before in _OUTPUTS or file.exists():
            continue
        if file.suffix == ".keras":
            _classifier().save(file)
        elif file.suffix == ".tflite":
            with contextlib.redirect_stdout(io.StringIO()):
                to_tflite(_classifier(), file)
        elif file.suffix == ".npy":
            np.save(file, arrays.load("digits").x_train[:64])


def _classifier() -> keras.Model:
    """A classifier of the digits with random weights."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(32, "relu"),
            keras.layers.Dense(10, "softmax"),
        ]
    )
