"""The first convolution of a network, which leads into XNNPACK's sparse mode.

Only a 3x3 convolution of three channels with stride 2 does. Larger ones become that: one that
gathers each square of 2x2 places into 12 channels (space to depth), followed by the convolution
that is left over on the squares, with stride 1.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import shifts, tensors, windows

_CHANNELS = 3
_SQUARE = 2


def is_entry(subgraph: Subgraph, operator: Operator, window: windows.Window) -> bool:
    """Whether a CONV_2D leads into the sparse mode as it is."""
    kernel = subgraph.shape(operator.inputs[1])
    twice = all(axis.stride == 2 for axis in window.axes)
    return twice and window.symmetric and kernel[1:] == (3, 3, _CHANNELS)


def taps_on_squares(taps: shifts.Taps) -> shifts.Taps:
    """The stride-2 taps of an image as stride-1 taps of its 2x2 squares.

    Row `2 i + y` of the image is row `y % 2` within row `i + y // 2` of the squares. Channels are
    ordered (row, column, channel) within a square.
    """
    places = sorted({(y // _SQUARE, x // _SQUARE) for y, x in taps.offsets})
    outputs, _, channels = taps.kernel.shape
    kernel = np.zeros((outputs, len(places), _SQUARE * _SQUARE, channels), np.float32)
    for tap, (y, x) in enumerate(taps.offsets):
        place = places.index((y // _SQUARE, x // _SQUARE))
        kernel[:, place, (y % _SQUARE) * _SQUARE + x % _SQUARE] += taps.kernel[:, tap]
    return shifts.Taps(kernel.reshape(outputs, len(places), -1), tuple(places), 1)


def size_on_squares(taps: shifts.Taps, window: windows.Window) -> int | None:
    """The depthwise kernel that the convolution on squares needs; None if it cannot be lowered."""
    even = all(axis.size % _SQUARE == 0 for axis in window.axes)
    if taps.stride != _SQUARE or taps.kernel.shape[2] != _CHANNELS or not even:
        return None
    if shifts.shift_size(((0, 0),), _SQUARE, window.axes) is None:
        return None
    reach = max(max(abs(y), abs(x)) for y, x in taps_on_squares(taps).offsets)
    return next((size for size in shifts.SIZES if reach <= size // 2), None)


def lower(
    emitter: shifts.Emitter,
    operator: Operator,
    window: windows.Window,
    taps: shifts.Taps,
    size: int,
) -> list[Operator]:
    """The operators to run in place of the first convolution."""
    made, squares = _space_to_depth(emitter.subgraph, window)
    options = operator.builtinOptions
    bias = int(operator.inputs[2]) if len(operator.inputs) > 2 else -1
    return made + emitter.convolution(
        squares,
        taps_on_squares(taps),
        size,
        bias,
        options.fusedActivationFunction,
        int(operator.outputs[0]),
    )


def _space_to_depth(subgraph: Subgraph, window: windows.Window) -> tuple[list[Operator], int]:
    """2x2 squares as channels, by a 3x3 convolution of stride 2 with one 1 per output."""
    batch, height, width, channels = subgraph.shape(window.source)
    outputs = _SQUARE * _SQUARE * channels
    kernel = np.zeros((_SQUARE, _SQUARE, channels, 3, 3, channels), np.float32)
    for y, x, channel in np.ndindex(kernel.shape[:3]):
        kernel[y, x, channel, 1 + y, 1 + x, channel] = 1
    sizes = (batch, height // _SQUARE, width // _SQUARE, outputs)
    squares = tensors.like(subgraph, window.source, sizes, "squares")
    name = subgraph.name(squares)
    weights = subgraph.add_constant(kernel.reshape(outputs, 3, 3, channels), name=f"{name}/weights")
    bias = subgraph.add_constant(np.zeros(outputs, np.float32), name="no_bias")
    options = schema.Conv2DOptionsT()
    options.strideH = options.strideW = _SQUARE
    options.fusedActivationFunction = schema.ActivationFunctionType.NONE
    inputs = [window.source, weights, bias]
    made = subgraph.operator(OPERATORS.CONV_2D, inputs, [squares], options)
    return windows.set_padding(subgraph, made, window.source, ((1, 1), (1, 1))), squares
