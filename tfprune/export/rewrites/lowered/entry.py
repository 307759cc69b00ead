"""The way into XNNPACK's sparse mode.

Only a 3x3 convolution of three channels with stride 2 leads into it. A network that begins with
one has its way in; before any other, a convolution of this kind only moves the image: on the image
itself, it gathers blocks of 2x2 places; on one that was spread to every second row and column, it
takes the image as it is.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import tensors, windows
from tfprune.export.rewrites.lowered import shifts
from tfprune.export.rewrites.lowered.image import Image

CHANNELS = 3
BLOCKS = (1, 2, 4)
_STRIDE = 2


def is_entry(subgraph: Subgraph, operator: Operator, window: windows.Window) -> bool:
    """Whether a CONV_2D leads into the sparse mode as it is."""
    kernel = subgraph.shape(operator.inputs[1])
    twice = all(axis.stride == _STRIDE for axis in window.axes)
    return twice and window.symmetric and kernel[1:] == (3, 3, CHANNELS)


def enter(
    emitter: shifts.Emitter, source: int, block: int
) -> tuple[list[Operator], Image]:
    """Bring an image of up to three channels into the mode.

    Args:
        emitter: Writes the operators.
        source: The tensor, of shape (batch, height, width, channels).
        block: One of `BLOCKS`.

    Returns:
        The operators to run, and the image; its height and width are filled up with zeros to whole
        blocks.
    """
    subgraph = emitter.subgraph
    batch, rows, columns, channels = subgraph.shape(source)
    height, width = -(-rows // block) * block, -(-columns // block) * block
    made: list[Operator] = []
    index = source
    if block == 1:
        spread, index = _spread(subgraph, source)
        made += spread
    elif (height, width, CHANNELS) != (rows, columns, channels):
        index = tensors.like(subgraph, source, (batch, height, width, CHANNELS), "whole")
        pads = [(0, 0), (0, height - rows), (0, width - columns), (0, CHANNELS - channels)]
        made.append(_pad(subgraph, source, index, pads))
    side = min(block, 2)
    gathered, index = _gather(subgraph, index, channels, side)
    made += gathered
    if block > 2:
        places = [(y, x) for y in range(2) for x in range(2)]
        kernel = np.zeros((2, 2, 2, 2, channels, 4, 2, 2, channels), np.float32)
        for tap, (y, x) in enumerate(places):
            for row, column, channel in np.ndindex(2, 2, channels):
                kernel[y, row, x, column, channel, tap, row, column, channel] = 1
        taps = shifts.Taps(kernel.reshape(16 * channels, 4, 4 * channels), tuple(places), 2)
        sizes = (batch, height // block, width // block, 16 * channels)
        whole = tensors.like(subgraph, source, sizes, "blocks")
        none = schema.ActivationFunctionType.NONE
        made += emitter.convolution(index, taps, 3, -1, none, whole)
        index = whole
    return made, Image(index, block, rows, columns, channels)


def _spread(subgraph: Subgraph, source: int) -> tuple[list[Operator], int]:
    """An image with zeros between its rows and columns, and in channels that it has not.

    Rows become rows of a batch, to which PAD adds one row and, behind the channels of each place,
    those of the place beside it; in memory that is the larger image.
    """
    batch, rows, columns, channels = subgraph.shape(source)
    slim = tensors.like(subgraph, source, (batch * rows, 1, columns, channels), "rows")
    wide = tensors.like(subgraph, source, (batch * rows, 2, columns, 2 * CHANNELS), "spread_rows")
    sizes = (batch, 2 * rows, 2 * columns, CHANNELS)
    whole = tensors.like(subgraph, source, sizes, "spread")
    pads = [(0, 0), (0, 1), (0, 0), (0, 2 * CHANNELS - channels)]
    return [
        tensors.reshape(subgraph, source, slim),
        _pad(subgraph, slim, wide, pads),
        tensors.reshape(subgraph, wide, whole),
    ], whole


def _pad(
    subgraph: Subgraph, source: int, padded: int, pads: list[tuple[int, int]]
) -> Operator:
    name = f"{tensors.short_name(subgraph, padded)}/pads"
    amounts = subgraph.add_constant(np.array(pads, np.int32), name=name)
    return subgraph.operator(OPERATORS.PAD, [source, amounts], [padded], schema.PadOptionsT())


def _gather(
    subgraph: Subgraph, source: int, channels: int, side: int
) -> tuple[list[Operator], int]:
    """Squares of places as channels, by a 3x3 convolution of stride 2 with one 1 per output."""
    batch, height, width, _ = subgraph.shape(source)
    kernel = np.zeros((side, side, channels, 3, 3, CHANNELS), np.float32)
    for y, x, channel in np.ndindex(kernel.shape[:3]):
        kernel[y, x, channel, 1 + y, 1 + x, channel] = 1
    outputs = side * side * channels
    sizes = (batch, height // _STRIDE, width // _STRIDE, outputs)
    squares = tensors.like(subgraph, source, sizes, "squares")
    name = subgraph.name(squares)
    weights = subgraph.add_constant(
        kernel.reshape(outputs, 3, 3, CHANNELS), name=f"{name}/weights"
    )
    bias = subgraph.add_constant(np.zeros(outputs, np.float32), name="no_bias")
    options = schema.Conv2DOptionsT()
    options.strideH = options.strideW = _STRIDE
    options.fusedActivationFunction = schema.ActivationFunctionType.NONE
    inputs = [source, weights, bias]
    made = subgraph.operator(OPERATORS.CONV_2D, inputs, [squares], options)
    return windows.set_padding(subgraph, made, source, ((1, 1), (1, 1))), squares
