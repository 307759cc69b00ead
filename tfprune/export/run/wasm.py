"""Running .tflite files in WebAssembly, as a browser does, through Node and LiteRT.js.

Both are optional. The pinned version of LiteRT.js is in `scripts/wasm/package-lock.json`.
"""

import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence

import numpy as np

from tfprune.export.file import flatbuffer
from tfprune.export.file.tables import Model
from tfprune.export.run import processes
from tfprune.export.run.child import Json

PACKAGE = "@litertjs/core"
VERSION = "2.5.3"

_PROGRAM = pathlib.Path(__file__).with_name("bench_wasm.mjs")
_VARIABLE = "TFPRUNE_NODE_MODULES"


def require() -> tuple[str, str]:
    """Finds Node and LiteRT.js.

    LiteRT.js is searched in the folder that the environment variable `TFPRUNE_NODE_MODULES` names;
    where that is not set, in `node_modules` here and in `scripts/wasm` of a source checkout.

    Returns:
        The paths of Node and of the `node_modules` folder.

    Raises:
        ValueError: If one of them is missing; it says what to run.
    """
    node = shutil.which("node")
    if node is None:
        raise ValueError(_missing("no node on the PATH"))
    checkout = pathlib.Path(__file__).resolve().parents[3]
    given = os.environ.get(_VARIABLE)
    places = [pathlib.Path("node_modules"), checkout / "scripts" / "wasm" / "node_modules"]
    for place in [pathlib.Path(given)] if given else places:
        if (place / PACKAGE / "package.json").is_file():
            return node, str(place.resolve())
    raise ValueError(_missing(f"{_VARIABLE}={given!r}" if given else f"no {PACKAGE}"))


def is_installed() -> bool:
    """Whether Node and LiteRT.js are there."""
    try:
        require()
    except ValueError:
        return False
    return True


def outputs(
    path: str | os.PathLike[str], inputs: Sequence[np.ndarray], *, batch: int | None = None
) -> list[np.ndarray]:
    """Runs a file on examples.

    Args:
        path: The .tflite file.
        inputs: One array per input in the file's order, with the dtype of the input.
        batch: Examples per inference, along the first axis; None for all of them in one.

    Returns:
        One array per output, in the file's order.

    Raises:
        ValueError: If the file cannot be loaded or run, the inputs do not fit it, or Node or
            LiteRT.js is missing.
    """
    model, _ = flatbuffer.read(path)
    input_names, output_names = _names(model)
    if len(inputs) != len(input_names):
        raise ValueError(
            f"`inputs` must hold one array for each of the {len(input_names)} inputs. "
            f"Received: {len(inputs)} arrays."
        )
    count = len(inputs[0]) if inputs and batch else 1
    if batch and count % batch:
        raise ValueError(
            f"`inputs` must hold whole batches. Received: {count} examples, batch={batch}."
        )
    parts = [
        [np.ascontiguousarray(array[begin : begin + batch] if batch else array) for array in inputs]
        for begin in range(0, count, batch or 1)
    ]
    described = [
        {"name": name, "dtype": str(array.dtype), "shape": array.shape, "bytes": array.nbytes}
        for name, array in zip(input_names, parts[0])
    ]
    request = {
        "job": "outputs",
        "path": os.path.abspath(path),
        "inputs": described,
        "outputs": output_names,
        "runs": len(parts),
    }
    with tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
        with open(os.path.join(folder, "inputs.bin"), "wb") as file:
            for part in parts:
                for array in part:
                    file.write(array.tobytes())
        answer = _ask(request, folder)
        content = pathlib.Path(folder, "outputs.bin").read_bytes()
    arrays, offset = [], 0
    for entry in answer["outputs"]:
        array = np.ndarray(entry["shape"], np.dtype(entry["dtype"]), content, offset)
        arrays.append(array.copy())
        offset += array.nbytes
    width = len(arrays) // len(parts)
    return [
        arrays[index] if len(parts) == 1 else np.concatenate(arrays[index::width])
        for index in range(width)
    ]


def bench(
    paths: Sequence[str | os.PathLike[str]], *, runs: int, warmup: int
) -> tuple[np.ndarray, np.ndarray]:
    """Times files in turns, A B A B ..., on one thread of one process.

    Args:
        paths: The .tflite files.
        runs: Timed turns of each file.
        warmup: Untimed ones before that; at least one second's worth for each file, until the
            engine has optimized the code that they run.

    Returns:
        Seconds by the clock and seconds of processor time, both files x runs.

    Raises:
        ValueError: If a file cannot be loaded or run, or Node or LiteRT.js is missing.
    """
    request = {
        "job": "bench",
        "paths": [os.path.abspath(path) for path in paths],
        "runs": runs,
        "warmup": warmup,
    }
    with tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
        answer = _ask(request, folder)
    return np.array(answer["wall"]), np.array(answer["cpu"])


def load(path: str | os.PathLike[str]) -> float:
    """Loads a file in a fresh process and runs it once.

    Args:
        path: The .tflite file.

    Returns:
        Seconds from the start of loading to the first result, with the runtime itself ready.

    Raises:
        ValueError: If the file cannot be loaded or run, or Node or LiteRT.js is missing.
    """
    with tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
        return float(_ask({"job": "load", "path": os.path.abspath(path)}, folder)["seconds"])


def _ask(request: Json, folder: str) -> Json:
    node, modules = require()
    return processes.converse([node, str(_PROGRAM), modules], request, folder, runtime="LiteRT.js")


def _names(model: Model) -> tuple[list[str], list[str]]:
    """What LiteRT.js calls the inputs and the outputs, in the order of the file's main subgraph."""
    main, signatures = model.subgraphs[0], model.signatureDefs or []
    called = (main.inputs, main.outputs)
    if not signatures:
        names = [[main.tensors[index].name for index in indices] for indices in called]
    else:
        entries = (signatures[0].inputs or [], signatures[0].outputs or [])
        known = [{entry.tensorIndex: entry.name for entry in listed} for listed in entries]
        names = [[name.get(int(i)) for i in indices] for name, indices in zip(known, called)]
    inputs, outputs_ = ([(name or b"").decode(errors="replace") for name in each] for each in names)
    return inputs, outputs_


def _missing(found: str) -> str:
    return (
        "`runtime='wasm'` must find Node (20 or later) and LiteRT.js: run scripts/setup_wasm.sh of "
        f"a source checkout, or `npm install {PACKAGE}@{VERSION}` here. Received: {found}."
    )
