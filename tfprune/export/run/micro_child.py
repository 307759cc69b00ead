"""Runs .tflite files in tflite-micro, in a process of its own, which a file may take down.

Started by `tfprune.export.run.micro` as `child` is by `runtime`, with the same folder of files.

Only the extension module of the `tflite-micro` package is loaded: the package itself imports its
own tools for compression first, and with them what is not needed here.
"""

import contextlib
import importlib.machinery
import importlib.util
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfprune.export.run.child import Job, Json

PACKAGE = "tflite_micro"

_MODULE = ("python", "tflite_micro", "_runtime.so")
_TURN_S = 0.002
_ARENA = re.compile(r"Arena allocation total (\d+) bytes")


def extension() -> str | None:
    """The path of the extension module; None where the package is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = os.path.join(folder, *_MODULE)
        if os.path.exists(path):
            return path
    return None


class _Errors:
    """What C++ code writes to the standard error while a `with` block runs."""

    def __init__(self) -> None:
        self.text = ""

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        before = os.dup(2)
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(before, 2)
                os.close(before)
                file.seek(0)
                self.text = file.read().decode(errors="replace").strip()


def _outputs(job: Job) -> Json:
    """Every output of each of the files for given inputs, its arena's bytes, and its times."""
    module = _loaded()
    with np.load(os.path.join(job.folder, "inputs.npz"), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    found, kept = {}, []
    for number, asked in enumerate(job.request["runs"]):
        path, batch = asked["path"], asked["batch"]
        job.stage(path, "with tflite-micro")
        inputs = [arrays[name] for name in asked["inputs"]]
        with open(path, "rb") as content:
            interpreter = _interpreter(module, content.read(), asked["arena"])
        batches = []
        for begin in range(0, len(inputs[0]) if inputs else 1, batch):
            batches.append(_run(interpreter, [array[begin : begin + batch] for array in inputs]))
            job.beat()
        for index, parts in enumerate(zip(*batches, strict=True)):
            found[f"{number:03}-{index:03}"] = np.concatenate(parts)
        if number < job.request["files"]:
            kept.append(interpreter)
    np.savez(os.path.join(job.folder, "outputs.npz"), **found)  # type: ignore[arg-type]
    seconds: list[list[float]] = [[] for _ in kept]
    for _ in range(job.request["turns"]):
        for interpreter, times in zip(kept, seconds, strict=True):
            times.append(_seconds(interpreter))
        job.beat()
    return {"arenas": [_arena_bytes(each) for each in kept], "seconds": seconds}


def _seconds(interpreter: Any) -> float:
    """The time of one inference, the mean of as many as a turn takes."""
    count, begin = 0, time.perf_counter()
    end = begin
    while end - begin < _TURN_S:
        interpreter.Invoke()
        count, end = count + 1, time.perf_counter()
    return (end - begin) / count


def _loaded() -> Any:
    path = extension()
    if path is None:
        raise ImportError(f"{PACKAGE} is not installed")
    loader = importlib.machinery.ExtensionFileLoader("_runtime", path)
    specification = importlib.util.spec_from_loader("_runtime", loader)
    assert specification is not None  # there is a loader
    module = importlib.util.module_from_spec(specification)
    loader.exec_module(module)
    return module


def _interpreter(module: Any, content: bytes, arena: int) -> Any:
    """An interpreter for a file; what tflite-micro says of one that it refuses is raised."""
    errors = _Errors()
    try:
        with errors.kept():
            kind = module.PythonInterpreterConfig.kAllocationRecording
            return module.InterpreterWrapper(content, [], arena, 0, kind, 0)
    except Exception as error:
        raise RuntimeError("; ".join(errors.text.splitlines()) or str(error)) from error


def _run(interpreter: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    for index, array in enumerate(inputs):
        interpreter.SetInputTensor(np.ascontiguousarray(array), index)
    errors = _Errors()
    try:
        with errors.kept():
            interpreter.Invoke()
    except Exception as error:
        raise RuntimeError("; ".join(errors.text.splitlines()) or str(error)) from error
    outputs: list[np.ndarray] = []
    with errors.kept():  # it complains where the outputs end
        with contextlib.suppress(IndexError):
            while True:
                outputs.append(np.array(interpreter.GetOutputTensor(len(outputs))))
    return outputs


def _arena_bytes(interpreter: Any) -> int:
    printed = _Errors()
    with printed.kept():
        interpreter.PrintAllocations()
    found = _ARENA.search(printed.text)
    if found is None:
        raise RuntimeError("tflite-micro does not say how large its arena is")
    return int(found[1])


def main(folder: str) -> None:
    """Does the job that the folder asks for.

    Args:
        folder: Where the request is and the answer goes.
    """
    job = Job(folder)
    try:
        answer = _outputs(job)
    except Exception as error:  # whatever a file makes the extension raise
        answer = {"error": str(error).strip() or type(error).__name__}
    job.write("answer.json", answer)


if __name__ == "__main__":
    main(sys.argv[1])
