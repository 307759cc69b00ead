"""Running .tflite files in LiteRT's interpreter."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import interpreter as litert

from tfprune import quiet


def load(path: str | os.PathLike[str], *, threads: int = 1, delegates: bool = True) -> Any:
    """Loads a file and allocates its tensors.

    Args:
        path: The .tflite file.
        threads: Threads an inference may use, at least 1.
        delegates: Whether XNNPACK runs what it can, as on a device; without it LiteRT's own
            kernels run everything.

    Returns:
        The interpreter, ready to run.

    Raises:
        ValueError: If the runtime cannot load the file.
    """
    kinds = litert.OpResolverType
    kind = kinds.AUTO if delegates else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        with quiet.silenced():
            interpreter = litert.Interpreter(
                model_path=os.fspath(path),
                num_threads=threads,
                experimental_op_resolver_type=kind,
            )
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"`path` must name a file that LiteRT can load. Received: path={os.fspath(path)!r} "
            f"({_first_line(error)})."
        ) from error
    return interpreter


def run(interpreter: Any, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Runs one inference.

    Args:
        interpreter: From `load`.
        inputs: One array per input in the file's order, with the dtype of the input. Free
            dimensions take the size of the array.

    Returns:
        A copy of each output in the file's order.

    Raises:
        ValueError: If the runtime fails.
    """
    try:
        with quiet.silenced():
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
    except RuntimeError as error:
        raise ValueError(f"LiteRT failed to run the file: {_first_line(error)}") from error
    return [
        interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()
    ]


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]
