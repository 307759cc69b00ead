"""Sizes that a converted file leaves open: which of them are known, and what it loads with."""

import math
import os
import tempfile
from collections.abc import Sequence

import numpy as np

from tfprune.export.file import flatbuffer
from tfprune.export.file.signature import Signature
from tfprune.export.file.tables import Model
from tfprune.export.run import processes, runtime


def settle(model: Model, signed: Signature, checked: Sequence[tuple[int, ...]] | None) -> None:
    """Writes every size that is known, or that the file is checked with, into the file.

    The converter writes 1 for a free size. At that, a window of three does not fit, and a file
    that takes any other length does not load until its inputs are resized. With a size at which it
    runs, it loads as it is.

    Args:
        model: A converted model, changed in place. Sizes that the signature leaves free stay free.
        signed: The signature.
        checked: The shape of one example per input, without the batch; None to fix sizes only.
    """
    main = model.subgraphs[0]
    free = {
        index: len(tensor.shapeSignature)
        for index, tensor in enumerate(main.tensors)
        if tensor.shapeSignature is not None
    }
    if not free or len(main.inputs) != len(signed.inputs):
        return
    shapes = [entry.shape for entry in signed.inputs]
    if checked is not None:
        batch = 1 if signed.resizable else signed.batch
        shapes = [(batch, *shape) for shape in checked]
    elif any(None in shape for shape in shapes):
        return
    found = _sizes(model, [tuple(size or 1 for size in shape) for shape in shapes])
    fixed = not any(None in entry.shape for entry in signed.inputs)
    for index, rank in free.items():
        tensor, shape = main.tensors[index], found.get(index, ())
        if len(shape) != rank or not math.prod(shape):
            continue  # its size depends on values
        tensor.shape = np.array(shape, np.int32)
        if fixed:
            tensor.shapeSignature = None


def _sizes(model: Model, shapes: list[tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    """The shapes of all tensors where the inputs have these; of the inputs if it does not run."""
    with tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
        path = os.path.join(folder, "open.tflite")
        with open(path, "wb") as file:
            file.write(flatbuffer.pack(model))
        try:
            return runtime.shapes(path, shapes)
        except processes.RunError:  # checking the file says why
            return dict(zip(map(int, model.subgraphs[0].inputs), shapes))
