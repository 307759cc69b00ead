"""The way into XNNPACK's sparse mode.

Only a 3x3 convolution of three channels with stride 2 leads into it. A network that begins with
one has its way in; before any other, a convolution of this kind only moves the image: on the image
itself, it gathers blocks of 2x2 places; on one that was spread to every second row and column, it
takes the image as it is. A network along one axis, of any number of channels, has them in twelves:
one convolution takes in two rows and two columns of three. Of more, pairs of places become one.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import tensors, windows
from tfprune.export.rewrites.lowered import shifts
from tfprune.export.rewrites.lowered.image import PLACE, Block, Image

CHANNELS = 3
BLOCKS = (1, 2, 4)
LINE_BLOCKS = (1, 2, 4, 8, 16)
_STRIDE = 2


def is_entry(subgraph: Subgraph, operator: Operator, window: windows.Window) -> bool:
    """Whether a CONV_2D leads into the sparse mode as it is."""
    kernel = subgraph.shape(operator.inputs[1])
    twice = all(axis.stride == _STRIDE for axis in window.axes)
    return twice and window.symmetric and kernel[1:] == (3, 3, CHANNELS)


def enter(
    emitter: shifts.Emitter, source: int, block: Block
) -> tuple[list[Operator], Image]:
    """Bring an image of up to three channels into the mode.

    Args:
        emitter: Writes the operators.
        source: The tensor, of shape (batch, height, width, channels).
        block: Rows and columns, both one of `BLOCKS`.

    Returns:
        The operators to run, and the image; its height and width are filled up with zeros to whole
        blocks.
    """
    subgraph = emitter.subgraph
    batch, rows, columns, channels = subgraph.shape(source)
    side = block[0]
    height, width = -(-rows // side) * side, -(-columns // side) * side
    made: list[Operator] = []
    index = source
    if block == PLACE:
        spread, index = _spread(subgraph, source)
        made += spread
    elif (height, width, CHANNELS) != (rows, columns, channels):
        index = tensors.like(subgraph, source, (batch, height, width, CHANNELS), "whole")
        pads = [(0, 0), (0, height - rows), (0, width - columns), (0, CHANNELS - channels)]
        made.append(_pad(subgraph, source, index, pads))
    gathered, index = _gather(subgraph, index, channels, min(side, 2))
    made += gathered
    if side > 2:
        merged, index = _merge(emitter, index, channels, (2, 2), (2, 2), side**2 * channels)
        made += merged
    return made, Image(index, block, rows, columns, channels)


def enter_line(
    emitter: shifts.Emitter, source: int, block: Block
) -> tuple[list[Operator], Image]:
    """Bring an image of one row, of any number of channels, into the mode.

    Args:
        emitter: Writes the operators.
        source: The tensor, of shape (batch, 1, steps, channels).
        block: One row, and how many steps become channels of one place.

    Returns:
        The operators to run, and the image; its steps are filled up with zeros to whole blocks.
    """
    subgraph = emitter.subgraph
    batch, _, steps, channels = subgraph.shape(source)
    length, values = -(-steps // block[1]), channels * block[1]
    rows, columns = next(size for size in _squares() if CHANNELS * math.prod(size) >= values)
    made, index = _folded(subgraph, source, length, block[1], (rows, columns))
    height, width = _STRIDE, _STRIDE
    kept = values if (rows, columns) == (height, width) else None
    gathered, index = _gather(subgraph, index, CHANNELS, _STRIDE, kept)
    made += gathered
    while (height, width) != (rows, columns):
        factors = (_STRIDE if height < rows else 1, _STRIDE)
        after = (height * factors[0], width * factors[1])
        kept = values if after == (rows, columns) else CHANNELS * math.prod(after)
        merged, index = _merge(emitter, index, CHANNELS, (height, width), factors, kept)
        made += merged
        height, width = after
    return made, Image(index, block, 1, steps, channels)


def _folded(
    subgraph: Subgraph, source: int, length: int, steps: int, size: Block
) -> tuple[list[Operator], int]:
    """An image of one row as one of three channels, (batch, rows, length * columns, 3).

    Args:
        subgraph: The subgraph.
        source: The tensor, of shape (batch, 1, steps, channels).
        length: How many places it becomes.
        steps: How many steps a place has.
        size: Rows and columns of three values each that hold the values of a place.
    """
    rows, columns = size
    batch, _, before, channels = subgraph.shape(source)
    made: list[Operator] = []
    index = source

    def move(code: int, sizes: tuple[int, ...], suffix: str, numbers: list[Any]) -> None:
        nonlocal index
        if code != OPERATORS.TRANSPOSE and subgraph.shape(index)[1:] == sizes:
            return
        moved = tensors.like(subgraph, source, (batch, *sizes), suffix)
        if code == OPERATORS.PAD:
            made.append(_pad(subgraph, index, moved, numbers))
        elif code == OPERATORS.RESHAPE:
            made.append(tensors.reshape(subgraph, index, moved))
        else:
            axes = subgraph.add_constant(np.array(numbers, np.int32), name="axes")
            options = schema.TransposeOptionsT()
            made.append(subgraph.operator(code, [index, axes], [moved], options))
        index = moved

    whole, values, wide = length * steps, steps * channels, CHANNELS * columns
    none = (0, 0)
    move(OPERATORS.PAD, (1, whole, channels), "whole", [none, none, (0, whole - before), none])
    move(OPERATORS.RESHAPE, (1, length, values), "places", [])
    filled = (0, rows * wide - values)
    move(OPERATORS.PAD, (1, length, rows * wide), "filled", [none, none, none, filled])
    move(OPERATORS.RESHAPE, (length, rows, wide), "folds", [])
    move(OPERATORS.TRANSPOSE, (rows, length, wide), "turned", [0, 2, 1, 3])
    move(OPERATORS.RESHAPE, (rows, length * columns, CHANNELS), "folded", [])
    return made, index


def _squares() -> Iterator[Block]:
    """Rows and columns of three values each that become one place: as square as they can be."""
    for power in itertools.count(1):
        yield 2**power, 2**power
        yield 2**power, 2 ** (power + 1)


def _merge(
    emitter: shifts.Emitter,
    source: int,
    channels: int,
    before: Block,
    factors: Block,
    kept: int,
) -> tuple[list[Operator], int]:
    """Blocks of places as channels, by shifts of stride 2.

    Args:
        emitter: Writes the operators.
        source: The tensor, in blocks.
        channels: Of the image.
        before: Rows and columns of one block.
        factors: How many of them, along rows and columns, become one: 1, of an image of one row,
            or 2.
        kept: How many channels to keep of a block.
    """
    places = list(np.ndindex(*factors))
    shape = (factors[0], before[0], factors[1], before[1], channels)
    kernel = np.zeros((*shape, len(places), *before, channels), np.float32)
    for tap, (y, x) in enumerate(places):
        for row, column, channel in np.ndindex(*before, channels):
            kernel[y, row, x, column, channel, tap, row, column, channel] = 1
    flat = kernel.reshape(math.prod(shape), len(places), -1)[:kept]
    taps = shifts.Taps(flat, tuple(places), _STRIDE).used
    batch, height, width, _ = emitter.subgraph.shape(source)
    sizes = (batch, height // factors[0], width // factors[1], len(flat))
    whole = tensors.like(emitter.subgraph, source, sizes, "blocks")
    none = schema.ActivationFunctionType.NONE
    return emitter.convolution(source, taps, 3, -1, none, whole), whole


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
    subgraph: Subgraph, source: int, channels: int, side: int, kept: int | None = None
) -> tuple[list[Operator], int]:
    """Squares of places as channels, by a 3x3 convolution of stride 2 with one 1 per output.

    Only the first `kept` outputs are made, all by default.
    """
    batch, height, width, _ = subgraph.shape(source)
    kernel = np.zeros((side, side, channels, 3, 3, CHANNELS), np.float32)
    for y, x, channel in np.ndindex(kernel.shape[:3]):
        kernel[y, x, channel, 1 + y, 1 + x, channel] = 1
    kernel = kernel.reshape(-1, 3, 3, CHANNELS)[:kept]
    outputs = len(kernel)
    sizes = (batch, height // _STRIDE, width // _STRIDE, outputs)
    squares = tensors.like(subgraph, source, sizes, "squares")
    name = subgraph.name(squares)
    weights = subgraph.add_constant(kernel, name=f"{name}/weights")
    bias = subgraph.add_constant(np.zeros(outputs, np.float32), name="no_bias")
    options = schema.Conv2DOptionsT()
    options.strideH = options.strideW = _STRIDE
    options.fusedActivationFunction = schema.ActivationFunctionType.NONE
    inputs = [source, weights, bias]
    made = subgraph.operator(OPERATORS.CONV_2D, inputs, [squares], options)
    return windows.set_padding(subgraph, made, source, ((1, 1), (1, 1))), squares
