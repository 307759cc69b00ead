"""Running .tflite files in LiteRT, each job in a process of its own.

A file that kills the runtime kills that process only, and becomes one `RunError` here.
"""

import dataclasses
import os
import sys
import tempfile
from collections.abc import Sequence

import numpy as np

from tfprune.export.run import child, processes
from tfprune.export.run.child import Json

KERNELS = (child.XNNPACK, child.OWN_KERNELS)

_LAUNCHES = 5  # processes of one benchmark: where memory lies in one may favour a file throughout


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
        processes.RunError: If the file cannot be loaded or run, or kills or stops the runtime.
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
        processes.RunError: If a file, which is named, cannot be loaded or run, or kills or stops
            the runtime.
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
        processes.RunError: If the file cannot be loaded or run at these shapes.
    """
    request = {"job": "shapes", "path": os.fspath(path), "shapes": [list(each) for each in inputs]}
    with tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
        answer = _ask(request, folder)
    return {int(index): tuple(shape) for index, shape in answer["shapes"].items()}


def bench(
    paths: Sequence[str | os.PathLike[str]], *, threads: int = 1, runs: int, warmup: int
) -> tuple[np.ndarray, np.ndarray]:
    """Times files in turns, A B A B ..., in a few processes one after the other.

    Every other process has the files in the reverse order, so that what comes before a file
    favours none.

    Args:
        paths: The .tflite files.
        threads: Threads an inference may use, at least 1.
        runs: Timed turns of each file, over all processes.
        warmup: Untimed ones before that, in each process.

    Returns:
        Seconds by the clock and seconds of processor time, both files x runs.

    Raises:
        processes.RunError: If a file cannot be loaded or run, or kills or stops the runtime.
    """
    launches = min(runs, _LAUNCHES)
    wall, cpu = [], []
    for launch in range(launches):
        order = list(range(len(paths)))[:: -1 if launch % 2 else 1]
        request = {
            "job": "bench",
            "paths": [os.fspath(paths[place]) for place in order],
            "threads": threads,
            "runs": (runs + launch) // launches,
            "warmup": warmup,
        }
        with tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
            answer = _ask(request, folder)
        places = np.argsort(order)
        wall.append(np.array(answer["wall"])[places])
        cpu.append(np.array(answer["cpu"])[places])
    return np.concatenate(wall, axis=1), np.concatenate(cpu, axis=1)


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
        processes.RunError: If the file cannot be loaded or run, or kills or stops the runtime.
    """
    request = {"job": "load", "path": os.fspath(path), "threads": threads}
    with tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
        answer = _ask(request, folder)
    return answer["seconds"], answer["memory_bytes"]


def _ask(request: Json, folder: str) -> Json:
    # -P: the program's own directory, which has modules named as the library's, stays off its path.
    command = [sys.executable, "-P", child.__file__]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return processes.converse(command, request, folder, runtime="LiteRT", environment=environment)
