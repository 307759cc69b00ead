"""Pools as depthwise convolutions, 1x1 convolutions and sums.

The mean of a window without padding is a convolution. For the maximum, `max(a, b) = b +
relu(a - b)`: with all inputs of a window as channels of one place, the differences of pairs and
the second values of these are two 1x1 convolutions, and their sum is the larger ones; and so on.
Equal to rounding: `b + (a - b)` may differ from a in the last place.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import invariance, tensors, windows
from tfprune.export.rewrites.lowered import convolutions, shifts
from tfprune.export.rewrites.lowered.image import Image, made_like

_NONE = schema.ActivationFunctionType.NONE
_RELU = schema.ActivationFunctionType.RELU


def is_inside(window: windows.Window) -> bool:
    """Whether no window reads beyond the image."""
    return all(axis.begin <= 0 and axis.end <= 0 for axis in window.axes)


def average(
    emitter: shifts.Emitter, source: Image, window: windows.Window, activation: int, output: int
) -> convolutions.Made | None:
    """The means of windows; None where some of them are smaller than others, or reach too far."""
    if window.same and not is_inside(window):
        return None
    height, width = (axis.kernel for axis in window.axes)
    kernel = np.full((height, width, source.channels), 1 / (height * width), np.float32)
    result = {"bias": -1, "activation": activation, "output": output}
    made = convolutions.depthwise(emitter, source, kernel, window, **result)
    if made is not None or source.places == 1 or window.stride is None:
        return made
    offsets = _offsets(window)
    each = np.eye(source.channels, dtype=np.float32) / len(offsets)
    taps = shifts.Taps(
        np.repeat(each[:, None], len(offsets), axis=1), offsets, window.stride
    )
    return convolutions.convolution(emitter, source, taps, window, **result)


def largest(
    emitter: shifts.Emitter,
    source: Image,
    window: windows.Window,
    output: int,
    producers: dict[int, Operator],
) -> convolutions.Made | None:
    """The maxima of windows; None where zeros may not pad, or windows reach too far."""
    subgraph, offsets = emitter.subgraph, _offsets(window)
    zeros = is_inside(window) or invariance.zeros_may_pad(subgraph, window, producers)
    if window.stride is None or len(offsets) == 1 or not zeros:
        return None
    each = np.eye(source.channels, dtype=np.float32)
    kernel = np.zeros((len(offsets), source.channels, len(offsets), source.channels), np.float32)
    for number in range(len(offsets)):
        kernel[number, :, number] = each
    flat = kernel.reshape(len(offsets) * source.channels, len(offsets), source.channels)
    taps = shifts.Taps(flat, offsets, window.stride)
    place = convolutions.placed(subgraph, source, taps, window)
    if place is None:
        return None
    made, moved, rows = emitter.gathered(source.index, place.taps, place.size)
    result = made_like(subgraph, output, place.grid, place.block)
    # Rows as (places of a block, inputs of a window, channels) -> one matrix an input.
    rows = rows.reshape(result.places, len(offsets), source.channels, -1)
    values = [rows[:, number].reshape(-1, rows.shape[-1]) for number in range(len(offsets))]
    while len(values) > 1:
        steps, moved, values = _halved(emitter, moved, values, result)
        made += steps
    return made, result


def _halved(
    emitter: shifts.Emitter, source: int, values: list[np.ndarray], result: Image
) -> tuple[list[Operator], int, list[np.ndarray]]:
    """The larger value of each pair, and of a value left over itself.

    Args:
        emitter: Writes the operators.
        source: The tensor that the values are channels of.
        values: Which they are: matrices of (channels of the result, channels of the source).
        result: What the last two values give.

    Returns:
        The operators, the tensor that they write, and the values in that.
    """
    subgraph, ends = emitter.subgraph, len(values) // 2 * 2
    differences = [a - b for a, b in zip(values[:ends:2], values[1:ends:2])]
    seconds = values[1:ends:2] + values[ends:]
    differences += [np.zeros_like(each) for each in values[ends:]]
    channels = len(values[0])
    batch, height, width, _ = subgraph.shape(result.index)
    sizes = (batch, height, width, channels * len(seconds))
    last = result.index
    if len(seconds) > 1:
        last = tensors.like(subgraph, result.index, sizes, "larger")
    positive = tensors.like(subgraph, result.index, sizes, "positive")
    second = tensors.like(subgraph, result.index, sizes, "second")
    options = schema.AddOptionsT()
    options.fusedActivationFunction = _NONE
    made = [
        emitter.pointwise(source, np.concatenate(differences), -1, _RELU, positive),
        emitter.pointwise(source, np.concatenate(seconds), -1, _NONE, second),
        subgraph.operator(OPERATORS.ADD, [positive, second], [last], options),
    ]
    each = np.eye(channels * len(seconds), dtype=np.float32)
    return made, last, np.split(each, len(seconds))


def _offsets(window: windows.Window) -> tuple[shifts.Offset, ...]:
    """The offsets of the inputs that a window holds."""
    rows, columns = window.axes
    return tuple(
        (y - rows.begin, x - columns.begin)
        for y in range(rows.kernel)
        for x in range(columns.kernel)
    )
