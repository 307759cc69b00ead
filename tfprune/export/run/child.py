"""Runs .tflite files in a process of its own, which a damaged file may take down.

LiteRT trusts a file: a wrong index or size in it can end the process that runs it. This program is
started by `tfprune.export.run.runtime` as `python child.py FOLDER`. It finds `request.json` in the
folder, with its inputs in `inputs.npz`, and leaves `answer.json`, with outputs in `outputs.npz`.
After each step it writes to `stage.json` what it is about to do, so that its parent knows what
killed it; the age of that file also tells a long job from one that hangs.

It imports only the standard library, NumPy and LiteRT, and so is ready in a fifth of a second.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import interpreter as litert

XNNPACK = "XNNPACK"
OWN_KERNELS = "LiteRT's own kernels"
Json = dict[str, Any]  # an object of a JSON file

TURN_S = 0.01  # how long a file runs before the turn of another one


def load(path: str, *, threads: int = 1, kernels: str = XNNPACK) -> litert.Interpreter:
    """Loads a file and allocates its tensors.

    Args:
        path: The .tflite file.
        threads: Threads an inference may use, at least 1.
        kernels: `XNNPACK`, which then runs what it can, as on a device, or `OWN_KERNELS`.

    Returns:
        The interpreter, ready to run.

    Raises:
        RuntimeError, ValueError: If LiteRT refuses the file.
    """
    kinds = litert.OpResolverType
    interpreter = litert.Interpreter(
        model_path=path,
        num_threads=threads,
        experimental_op_resolver_type=(
            kinds.AUTO if kernels == XNNPACK else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    interpreter.allocate_tensors()
    return interpreter


def run(interpreter: litert.Interpreter, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Runs one inference.

    Args:
        interpreter: From `load`.
        inputs: One array per input in the file's order, with the dtype of the input. Free
            dimensions take the size of the array.

    Returns:
        A copy of each output in the file's order.

    Raises:
        RuntimeError, ValueError: If LiteRT fails or the inputs do not fit.
    """
    resized = False
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        if tuple(detail["shape"]) != array.shape:
            interpreter.resize_tensor_input(detail["index"], array.shape)
            resized = True
    if resized:
        interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


class Job:
    """A request, and the folder through which its answer goes back."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        with open(os.path.join(folder, "request.json"), encoding="utf-8") as file:
            self.request: Json = json.load(file)

    def write(self, name: str, content: Json) -> None:
        """Writes a file of the folder, at once or not at all."""
        path = os.path.join(self.folder, name)
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(content, file)
        os.replace(f"{path}.new", path)

    def stage(self, path: str | list[str], doing: str) -> None:
        """Says what comes next, with which file or one of which files."""
        self.write("stage.json", {"path": path, "doing": doing})

    def beat(self) -> None:
        """Says that another inference is done."""
        os.utime(os.path.join(self.folder, "stage.json"))


def _outputs(job: Job) -> Json:
    """Every output of each of the runs asked for: a file, given inputs, and some kernels."""
    with np.load(os.path.join(job.folder, "inputs.npz"), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    found = {}
    for number, asked in enumerate(job.request["runs"]):
        inputs = [arrays[name] for name in asked["inputs"]]
        batch, path = asked["batch"], asked["path"]
        count = len(inputs[0]) if inputs and batch else 1
        for place, kernels in enumerate(asked["kernels"]):
            job.stage(path, f"with {kernels}")
            interpreter = load(path, threads=job.request["threads"], kernels=kernels)
            batches = []
            for begin in range(0, count, batch or 1):
                part = [array[begin : begin + batch] for array in inputs] if batch else inputs
                batches.append(run(interpreter, part))
                job.beat()
            for index, parts in enumerate(zip(*batches, strict=True)):
                output = parts[0] if len(parts) == 1 else np.concatenate(parts)
                if output.dtype.hasobject:
                    raise ValueError(f"output {index} holds strings")
                found[f"{number:03}-{place:03}-{index:03}"] = output
    np.savez(os.path.join(job.folder, "outputs.npz"), **found)  # type: ignore[arg-type]
    return {}


def _bench(job: Job) -> Json:
    """The time of one inference on the clock and on the processors, for each file and turn.

    A turn runs a file for a while, so that its weights are in the processor's cache as they are
    where it runs alone; the other files have driven them out.
    """
    paths, warmup = job.request["paths"], job.request["warmup"]
    interpreters = []
    for path in paths:
        job.stage(path, "while loading")
        interpreter = load(path, threads=job.request["threads"])
        run(interpreter, _random_inputs(interpreter))
        interpreters.append(interpreter)
    wall: list[list[float]] = [[] for _ in paths]
    cpu: list[list[float]] = [[] for _ in paths]
    job.stage(paths if len(paths) > 1 else paths[0], "while timing")
    for turn in range(warmup + job.request["runs"]):
        for index, interpreter in enumerate(interpreters):
            count, worked, begin = 0, time.process_time(), time.perf_counter()
            end = begin
            while not count or end - begin < TURN_S:
                interpreter.invoke()
                count, end = count + 1, time.perf_counter()
            rested = time.process_time()
            if turn >= warmup:
                wall[index].append((end - begin) / count)
                cpu[index].append((rested - worked) / count)
        job.beat()
    return {"wall": wall, "cpu": cpu}


def _load(job: Job) -> Json:
    """The time and the memory that one file takes from the start to its first result."""
    path = job.request["path"]
    job.stage(path, "while loading")
    before, begin = _resident_bytes(), time.perf_counter()
    interpreter = load(path, threads=job.request["threads"])
    loaded = time.perf_counter() - begin
    inputs = _random_inputs(interpreter)
    begin = time.perf_counter()
    run(interpreter, inputs)
    seconds = loaded + time.perf_counter() - begin
    del inputs
    after = _resident_bytes()
    grown = None if before is None or after is None else max(0, after - before)
    return {"seconds": seconds, "memory_bytes": grown}


def _shapes(job: Job) -> Json:
    """The shape of every tensor of a file after a run on zeros of given shapes."""
    path = job.request["path"]
    job.stage(path, "while loading")
    interpreter = litert.Interpreter(
        model_path=path,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    inputs = []
    for shape, detail in zip(job.request["shapes"], interpreter.get_input_details()):
        interpreter.resize_tensor_input(detail["index"], shape)
        inputs.append(np.zeros(shape, detail["dtype"]))
    interpreter.allocate_tensors()
    run(interpreter, inputs)
    details = interpreter.get_tensor_details()
    return {"shapes": {str(each["index"]): each["shape"].tolist() for each in details}}


def _random_inputs(interpreter: litert.Interpreter) -> list[np.ndarray]:
    """Normal floats and zero integers, the same for every file of the same signature."""
    rng = np.random.default_rng(0)
    inputs = []
    for detail in interpreter.get_input_details():
        shape, dtype = tuple(map(int, detail["shape"])), np.dtype(detail["dtype"])
        floating = np.issubdtype(dtype, np.floating)
        inputs.append((rng.standard_normal(shape) if floating else np.zeros(shape)).astype(dtype))
    return inputs


def _resident_bytes() -> int | None:
    """Memory of this process that is in RAM; None where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


_JOBS = {"outputs": _outputs, "bench": _bench, "load": _load, "shapes": _shapes}


def main(folder: str) -> None:
    """Does the job that the folder asks for.

    Args:
        folder: Where the request is and the answer goes.
    """
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # where memory runs out, this process goes and not its parent
    job = Job(folder)
    try:
        answer = _JOBS[job.request["job"]](job)
    except Exception as error:  # whatever a file makes LiteRT or NumPy raise
        answer = {"error": str(error).strip() or type(error).__name__}
    job.write("answer.json", answer)


if __name__ == "__main__":
    main(sys.argv[1])
