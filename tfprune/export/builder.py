"""From the converter's dense file to the one that is written.

dense ──rewrites──▶ dense, for sparse kernels ──encoding──▶ sparse ──lint──▶ what runs sparsely
"""

import dataclasses
from typing import Any

from tfprune.export import rewrites
from tfprune.export.encode.sparse import EncodedTensor, encode_model
from tfprune.export.file import flatbuffer
from tfprune.export.predict.linting import Coverage, coverage
from tfprune.targets.target import FLOAT_ARITHMETIC, MACHINES, TARGETS, Target

_NO_GAIN = "The graph is as the converter made it: no convolution would run sparsely by this."
_NO_DENSIFY = "Weights are not expanded by DENSIFY, which would switch on XNNPACK's sparse kernels:"


@dataclasses.dataclass(frozen=True)
class Built:
    """A file that is ready to be verified.

    Attributes:
        content: The file.
        encodings: One entry per encoded constant.
        coverage: Which layers run on sparse kernels.
        rewrites: What was done to the graph, one sentence each.
        notes: What was tried and left, one sentence each.
    """

    content: bytes
    encodings: tuple[EncodedTensor, ...]
    coverage: Coverage
    rewrites: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def build(
    content: bytes,
    *,
    target: Target = TARGETS["auto"],
    quantize: str | None = None,
    lower_conv3x3: bool = False,
    sparse: bool = True,
) -> Built:
    """Rewrites and encodes a file for a target.

    Args:
        content: The converter's dense file.
        target: Where it will run.
        quantize: As in `to_tflite`; "dynamic" and "int8" describe what `content` holds already.
        lower_conv3x3: Whether to turn larger convolutions into sparse 1x1 ones.
        sparse: Whether to do anything at all.

    Returns:
        The new file. Its graph is rewritten only if convolutions run on sparse kernels by that.
    """
    if not sparse:
        return Built(content, (), _coverage(_parse(content), target))
    notes: tuple[str, ...] = ()
    if target.sparse_convolutions and quantize in FLOAT_ARITHMETIC:
        model = _parse(content)
        done = rewrites.apply(model, lower_conv3x3=lower_conv3x3)
        encodings = encode_model(model, target=target, quantize=quantize)
        covered = _coverage(model, target)
        defects = _defects(model)
        if covered.sparse_convolutions and not defects:
            return Built(flatbuffer.pack(model), encodings, covered, done)
        if done:
            notes = (" ".join([_NO_GAIN, *done]),)
    for densify in (True, False):
        model = _parse(content)
        encodings = encode_model(model, target=target, quantize=quantize, densify=densify)
        defects = _defects(model)
        if not defects:
            break
        notes += (f"{_NO_DENSIFY} {defects[0]}.",)
    written = flatbuffer.pack(model) if encodings else content
    return Built(written, encodings, _coverage(model, target), notes=notes)


def _parse(content: bytes) -> Any:
    return flatbuffer.parse(content, "the dense model")


def _coverage(model: Any, target: Target) -> Coverage:
    return coverage(model, "the file", MACHINES[target.kernels_of])


def _defects(model: Any) -> tuple[str, ...]:
    """What would go wrong wherever XNNPACK has sparse kernels, whatever the file is meant for."""
    return tuple(
        defect
        for target in MACHINES.values()
        if target.sparse_convolutions
        for defect in coverage(model, "the file", target).defects
    )
