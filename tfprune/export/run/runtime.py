"""Running .tflite files in LiteRT, each job in a process of its own.

A file that kills the runtime kills that process only, and becomes one `ValueError` here.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import BinaryIO

import numpy as np

from tfprune.export.run import child
from tfprune.export.run.child import Json

KERNELS = (child.XNNPACK, child.OWN_KERNELS)

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


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A file to run on examples; the attributes are the arguments of `outputs`."""

    path: str | os.PathLike[str]
    inputs: Sequence[np.ndarray]
    batch: int | None = None
    kernels: tuple[str, ...] = KERNELS


def outputs(
    path: str | os.PathLike[str],
    inputs: Sequence[np.ndarray],
    *,
    batch: int | None = None,
    threads: int = 1,
    kernels: Sequence[str] = KERNELS,
) -> dict[str, list[np.ndarray]]:
    """Runs a file on examples.

    Args:
        path: The .tflite file.
        inputs: One array per input in the file's order, with the dtype of the input.
        batch: Examples per inference, along the first axis; None for all of them in one.
        threads: Threads an inference may use, at least 1.
        kernels: Which kernels to run it with, of `KERNELS`: XNNPACK's where it has one, as on a
            device, or LiteRT's own for everything.

    Returns:
        For each of `kernels` one array per output, in the file's order.

    Raises:
        RunError: If the file cannot be loaded or run, or kills or stops the runtime.
    """
    return outputs_of([Run(path, inputs, batch, tuple(kernels))], threads=threads)[0]


def outputs_of(runs: Sequence[Run], *, threads: int = 1) -> list[dict[str, list[np.ndarray]]]:
    """Runs several files, or one on several sets of examples, in one process.

    Args:
        runs: What to run.
        threads: Threads an inference may use, at least 1.

    Returns:
        For each run what `outputs` gives.

    Raises:
        RunError: If a file cannot be loaded or run, or kills or stops the runtime; it is named.
    """
    arrays: dict[str, np.ndarray] = {}
    asked = []
    for number, run in enumerate(runs):
        named = {f"{number:03}-{place:03}": array for place, array in enumerate(run.inputs)}
        arrays |= named
        asked.append(
            {
                "path": os.fspath(run.path),
                "inputs": list(named),
                "batch": run.batch,
                "kernels": list(run.kernels),
            }
        )
    with tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
        # Uncompressed: the arrays live for seconds, and compression takes longer than a run.
        np.savez(os.path.join(folder, "inputs.npz"), **arrays)  # type: ignore[arg-type]
        request = {"job": "outputs", "runs": asked, "threads": threads}
        request["paths"] = [each["path"] for each in asked]  # for messages
        _ask(request, folder)
        with np.load(os.path.join(folder, "outputs.npz"), allow_pickle=False) as file:
            return [
                {
                    kind: [
                        file[name]
                        for name in file.files
                        if name.startswith(f"{number:03}-{place:03}-")
                    ]
                    for place, kind in enumerate(run.kernels)
                }
                for number, run in enumerate(runs)
            ]


def shapes(
    path: str | os.PathLike[str], inputs: Sequence[tuple[int, ...]]
) -> dict[int, tuple[int, ...]]:
    """Runs a file once, on zeros, to see how large its tensors are.

    Args:
        path: The .tflite file.
        inputs: The shapes to give its inputs.

    Returns:
        Index of a tensor of the main subgraph -> its shape.

    Raises:
        RunError: If the file cannot be loaded or run at these shapes.
    """
    request = {"job": "shapes", "path": os.fspath(path), "shapes": [list(each) for each in inputs]}
    with tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
        answer = _ask(request, folder)
    return {int(index): tuple(shape) for index, shape in answer["shapes"].items()}


def bench(
    paths: Sequence[str | os.PathLike[str]], *, threads: int = 1, runs: int, warmup: int
) -> tuple[np.ndarray, np.ndarray]:
    """Times files in turns, A B A B ..., in one process.

    Args:
        paths: The .tflite files.
        threads: Threads an inference may use, at least 1.
        runs: Timed turns of each file.
        warmup: Untimed ones before that.

    Returns:
        Seconds by the clock and seconds of processor time, both files x runs.

    Raises:
        RunError: If a file cannot be loaded or run, or kills or stops the runtime.
    """
    request = {
        "job": "bench",
        "paths": [os.fspath(path) for path in paths],
        "threads": threads,
        "runs": runs,
        "warmup": warmup,
    }
    with tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
        answer = _ask(request, folder)
    return np.array(answer["wall"]), np.array(answer["cpu"])


def load(path: str | os.PathLike[str], *, threads: int = 1) -> tuple[float, int | None]:
    """Loads a file in a fresh process and runs it once.

    Args:
        path: The .tflite file.
        threads: Threads an inference may use, at least 1.

    Returns:
        Seconds from the start of loading to the first result, and bytes by which the process grew
        in RAM, pages of the file included; None for these where the system does not say (Linux
        does).

    Raises:
        RunError: If the file cannot be loaded or run, or kills or stops the runtime.
    """
    request = {"job": "load", "path": os.fspath(path), "threads": threads}
    with tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
        answer = _ask(request, folder)
    return answer["seconds"], answer["memory_bytes"]


def _ask(request: Json, folder: str) -> Json:
    # -P: the program's own directory, which has modules named as the library's, stays off its path.
    command = [sys.executable, "-P", child.__file__]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return converse(command, request, folder, runtime="LiteRT", environment=environment)


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
