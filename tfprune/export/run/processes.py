"""Programs of their own that run .tflite files, and answer one request each.

A file that kills the runtime kills that process only, and becomes one `RunError` here.
"""

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from tfprune.export.run.child import Json

_PATIENCE_S = 300.0  # the longest that one load or one inference may take
_SHOWN_CHARACTERS = 300
_LOG_BYTES = 1 << 16
_NO_ERRORS = ("INFO:", "WARNING:", "W0", "I0")  # how LiteRT's harmless lines begin


class RunError(ValueError):
    """A file cannot be loaded or run, or kills or stops the runtime.

    Attributes:
        runtime: What should have run it.
        reason: What happened.
    """

    def __init__(self, path: str | list[str], runtime: str, reason: str) -> None:
        super().__init__(
            f"`path` must name a file that {runtime} can run. Received: path={path!r} ({reason})."
        )
        self.runtime = runtime
        self.reason = reason


def converse(
    command: Sequence[str],
    request: Json,
    folder: str,
    *,
    runtime: str,
    environment: Mapping[str, str] | None = None,
) -> Json:
    """Starts a program that answers one request about .tflite files.

    Args:
        command: The program, which gets `folder` as its last argument.
        request: What it finds in `request.json`. A `path` or `paths` in it name the files.
        folder: A new folder, through which everything goes; `child` tells how.
        runtime: What error messages call what runs the files.
        environment: The program's environment; None for this process's own.

    Returns:
        What it left in `answer.json`.

    Raises:
        RunError: If it dies, hangs, or answers with an error; it names the file in question.
    """
    with open(os.path.join(folder, "request.json"), "w", encoding="utf-8") as file:
        json.dump(request, file)
    with open(os.path.join(folder, "log"), "wb") as log:
        ending = _wait([*command, folder], folder, log, environment)
    answer = _read(folder, "answer.json")
    if answer is None:
        answer = {"error": "the runtime left no answer"}
    if ending is None and "error" not in answer:
        return answer
    stage = _read(folder, "stage.json") or {}
    reason = _first_line(answer["error"])
    if ending is not None:
        happened = f"the runtime {ending} {stage.get('doing', '')}".strip()
        reason = "; ".join(filter(None, (happened, _logged_error(folder))))
    path = stage.get("path") or request.get("path") or request["paths"]
    raise RunError(path, runtime, reason)


def _wait(
    command: list[str], folder: str, log: BinaryIO, environment: Mapping[str, str] | None
) -> str | None:
    """Runs a program to its end; returns how it failed, None where it did not."""
    stage, seen = os.path.join(folder, "stage.json"), 0.0
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
    ) as process:
        while True:
            try:
                status = process.wait(timeout=_PATIENCE_S)
                break
            except subprocess.TimeoutExpired:
                latest = os.path.getmtime(stage) if os.path.exists(stage) else 0.0
                if latest == seen:
                    process.kill()
                    return f"was stopped after {_PATIENCE_S:.0f} s without a result"
                seen = latest
            except BaseException:  # Ctrl-C above all
                process.kill()
                process.wait()
                raise
    if status == 0:
        return None
    if status > 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal has no name
        return f"was killed by signal {-status}"


def _read(folder: str, name: str) -> Json | None:
    """A file of the folder; None where it is missing or damaged."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _logged_error(folder: str) -> str:
    """The first error that the program logged, else its last words, else an empty text."""
    with open(os.path.join(folder, "log"), "rb") as file:
        lines = file.read(_LOG_BYTES).decode(errors="replace").splitlines()
    errors = [line.partition("ERROR:")[2].strip() for line in lines if "ERROR:" in line]
    others = [line for line in lines if line.strip() and not line.startswith(_NO_ERRORS)]
    return _first_line((errors + others[-1:] + [""])[0])


def _first_line(text: str) -> str:
    return text.strip().split("\n", maxsplit=1)[0].rstrip(".")[:_SHOWN_CHARACTERS]
