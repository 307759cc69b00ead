"""The ways out of XNNPACK's sparse mode other than MEAN.

DEPTH_TO_SPACE, with which the mode ends as well, writes an image in blocks as it was; a single
place becomes a block that SPACE_TO_DEPTH takes back.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import tensors
from tfprune.export.rewrites.lowered import shifts
from tfprune.export.rewrites.lowered.image import Image

_SIDE = 2


def leave(emitter: shifts.Emitter, image: Image, output: int) -> list[Operator]:
    """The operators that write an image to a tensor outside of the mode.

    Args:
        emitter: Writes the operators.
        image: The image.
        output: The tensor, of shape (batch, height, width, channels).
    """
    subgraph, made, index = emitter.subgraph, [], image.index
    batch, height, width, channels = subgraph.shape(index)
    block, missing = image.block, 0
    if block == 1:
        block, missing = _SIDE, -channels % _SIDE**2
    if missing:
        index = tensors.like(
            subgraph, output, (batch, height, width, channels + missing), "filled_up"
        )
        kernel = np.eye(channels + missing, channels, dtype=np.float32)
        none = schema.ActivationFunctionType.NONE
        made.append(emitter.pointwise(image.index, kernel, -1, none, index))
    whole = (batch, height * block, width * block, (channels + missing) // block**2)
    outside = whole if block == image.block else (batch, height, width, channels + missing)
    if len(subgraph.shape(output)) < 4:
        flat, output = output, tensors.like(subgraph, output, (batch, 1, 1, channels), "whole")
        return [*leave(emitter, image, output), tensors.reshape(subgraph, output, flat)]
    cut = outside != subgraph.shape(output)
    last = tensors.like(subgraph, output, outside, "outside") if cut else output
    if block == image.block:
        made.append(_moved(subgraph, OPERATORS.DEPTH_TO_SPACE, index, last, block))
    else:
        spread = tensors.like(subgraph, output, whole, "squares")
        made.append(_moved(subgraph, OPERATORS.DEPTH_TO_SPACE, index, spread, block))
        made.append(_moved(subgraph, OPERATORS.SPACE_TO_DEPTH, spread, last, block))
    if cut:
        made.append(_cut(subgraph, last, output))
    return made


def _moved(subgraph: Subgraph, code: int, source: int, result: int, block: int) -> Operator:
    kinds = {
        OPERATORS.DEPTH_TO_SPACE: schema.DepthToSpaceOptionsT,
        OPERATORS.SPACE_TO_DEPTH: schema.SpaceToDepthOptionsT,
    }
    options = kinds[code]()
    options.blockSize = block
    return subgraph.operator(code, [source], [result], options)


def _cut(subgraph: Subgraph, source: int, result: int) -> Operator:
    """The first rows, columns and channels of a tensor."""
    name = tensors.short_name(subgraph, result)
    begin = subgraph.add_constant(np.zeros(4, np.int32), name=f"{name}/begin")
    sizes = np.array([-1, *subgraph.shape(result)[1:]], np.int32)
    size = subgraph.add_constant(sizes, name=f"{name}/size")
    options = schema.SliceOptionsT()
    return subgraph.operator(OPERATORS.SLICE, [source, begin, size], [result], options)
