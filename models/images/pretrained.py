"""Weights of a model from an .npz file with one array a variable, named `<layer>/<variable>`."""

import os
from collections.abc import Callable

import keras
import numpy as np

from models.data import npz_file


def load(
    path: str | os.PathLike[str],
    what: str,
    build: Callable[[dict[str, np.ndarray]], keras.Model],
) -> keras.Model:
    """The model with the weights of the file.

    Args:
        path: the file.
        what: what the file must hold, for messages, such as "a ResNet-20".
        build: the file's arrays -> a model whose variables they are. Arrays and variables must
            match one to one.

    Raises:
        ValueError: if the file cannot be read, or lacks an array or has one that does not fit.
    """
    try:
        arrays = npz_file.read(path)
        model = build(arrays)
        for layer in model.layers:
            for variable in layer.weights:
                variable.assign(arrays.pop(f"{layer.name}/{_stored_name(layer, variable)}"))
        if arrays:
            raise ValueError(f"it has {', '.join(sorted(arrays))} besides")
    except KeyError as error:
        raise _unfit(path, what, f"it lacks {error}") from error
    except npz_file.UNREADABLE as error:
        raise _unfit(path, what, " ".join(str(error).split())) from error
    return model


def _stored_name(layer: keras.layers.Layer, variable: keras.Variable) -> str:
    """Keras 2 called the kernel of a depthwise convolution by a name of its own."""
    if isinstance(layer, keras.layers.DepthwiseConv2D) and variable.name == "kernel":
        return "depthwise_kernel"
    return variable.name


def _unfit(path: str | os.PathLike[str], what: str, reason: str) -> ValueError:
    return ValueError(f"`path` must hold the weights of {what}. Received: {path} ({reason})")
