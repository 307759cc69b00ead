"""The ways out of XNNPACK's sparse mode other than MEAN.

DEPTH_TO_SPACE, with which the mode ends as well, writes an image in square blocks as it was; a
single place, and one that holds steps of a row, becomes a block that SPACE_TO_DEPTH takes back.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import tensors
from tfprune.export.rewrites.lowered import shifts
from tfprune.export.rewrites.lowered.image import PLACE, Image

_SIDE = 2


def leave(emitter: shifts.Emitter, image: Image, output: int) -> list[Operator]:
    """The operators that write an image to a tensor outside of the mode.

    Args:
        emitter: Writes the operators.
        image: The image.
        output: The tensor, of shape (batch, height, width, channels).
    """
    subgraph = emitter.subgraph
    batch, height, width, channels = subgraph.shape(image.index)
    if len(subgraph.shape(output)) < 4:
        flat, output = output, tensors.like(subgraph, output, (batch, 1, 1, channels), "whole")
        return [*leave(emitter, image, output), tensors.reshape(subgraph, output, flat)]
    side = image.block[0]
    sizes = (batch, height * side, width * image.block[1], channels // image.places)
    cut = sizes != subgraph.shape(output)
    whole = tensors.like(subgraph, output, sizes, "outside") if cut else output
    if image.block == (side, side) != PLACE:
        made = [_moved(subgraph, OPERATORS.DEPTH_TO_SPACE, image.index, whole, side)]
    elif image.block == PLACE:
        made = _places(emitter, image.index, whole)
    else:
        places = tensors.like(subgraph, output, subgraph.shape(image.index), "places")
        made = _places(emitter, image.index, places)
        made.append(tensors.reshape(subgraph, places, whole))
    return [*made, _cut(subgraph, whole, output)] if cut else made


def _places(emitter: shifts.Emitter, source: int, result: int) -> list[Operator]:
    """What writes a tensor of the mode as it is to one outside."""
    subgraph, made = emitter.subgraph, []
    batch, height, width, channels = subgraph.shape(source)
    missing, last = -channels % _SIDE**2, result
    if missing:
        sizes = (batch, height, width, channels + missing)
        index = tensors.like(subgraph, result, sizes, "filled_up")
        last = tensors.like(subgraph, result, sizes, "filled")
        kernel = np.eye(channels + missing, channels, dtype=np.float32)
        none = schema.ActivationFunctionType.NONE
        made.append(emitter.pointwise(source, kernel, -1, none, index))
        source = index
    squares = (batch, height * _SIDE, width * _SIDE, (channels + missing) // _SIDE**2)
    spread = tensors.like(subgraph, result, squares, "squares")
    made.append(_moved(subgraph, OPERATORS.DEPTH_TO_SPACE, source, spread, _SIDE))
    made.append(_moved(subgraph, OPERATORS.SPACE_TO_DEPTH, spread, last, _SIDE))
    return [*made, _cut(subgraph, last, result)] if missing else made


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
