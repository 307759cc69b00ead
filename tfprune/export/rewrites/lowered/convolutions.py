"""Convolutions inside of XNNPACK's sparse mode, whatever their kernels, groups and strides."""

import dataclasses

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import windows
from tfprune.export.rewrites.lowered import shifts
from tfprune.export.rewrites.lowered.image import (
    PLACE,
    Block,
    Image,
    in_blocks,
    made_like,
    reads_zeros_beyond,
)

_LARGEST_BLOCK = 4

Made = tuple[list[Operator], Image]


def taps_of(subgraph: Subgraph, operator: Operator, window: windows.Window) -> shifts.Taps | None:
    """The taps of a CONV_2D or DEPTHWISE_CONV_2D that have a weight, over all channels.

    None where the strides differ.
    """
    if window.stride is None:
        return None
    options = operator.builtinOptions
    kernel = subgraph.values(int(operator.inputs[1]))
    height, width = kernel.shape[1:3]
    rows, columns = window.axes
    offsets = tuple(
        (y * options.dilationHFactor - rows.begin, x * options.dilationWFactor - columns.begin)
        for y in range(height)
        for x in range(width)
    )
    channels = subgraph.shape(window.source)[3]
    if subgraph.code(operator) == OPERATORS.DEPTHWISE_CONV_2D:
        kernel = _of_depths(kernel, channels)
    elif kernel.shape[3] < channels:
        kernel = _of_groups(kernel, channels)
    return shifts.Taps(kernel.reshape(len(kernel), -1, channels), offsets, window.stride).used


def _of_depths(kernel: np.ndarray, channels: int) -> np.ndarray:
    """A depthwise kernel as one over all channels, mostly zeros."""
    _, height, width, outputs = kernel.shape
    whole = np.zeros((outputs, height, width, channels), np.float32)
    each = np.arange(outputs)
    whole[each, :, :, each // (outputs // channels)] = np.moveaxis(kernel[0], -1, 0)
    return whole


def _of_groups(kernel: np.ndarray, channels: int) -> np.ndarray:
    """The kernel of a grouped convolution as one over all channels."""
    outputs, height, width, depth = kernel.shape
    groups = channels // depth
    whole = np.zeros((groups, outputs // groups, height, width, groups, depth), np.float32)
    for group, part in enumerate(np.split(kernel, groups)):
        whole[group, ..., group, :] = part
    return whole.reshape(outputs, height, width, channels)


@dataclasses.dataclass(frozen=True, eq=False)
class Placed:
    """Where the outputs of windows lie.

    Attributes:
        taps: What to compute of a tensor in blocks.
        size: The depthwise kernel that reaches all of their offsets.
        grid: Height and width of the result.
        block: Its block.
    """

    taps: shifts.Taps
    size: int
    grid: tuple[int, int]
    block: Block


def placed(
    subgraph: Subgraph, source: Image, taps: shifts.Taps, window: windows.Window
) -> Placed | None:
    """Where the outputs of a window on an image come to lie; None if it reaches too far.

    Args:
        subgraph: The subgraph.
        source: The image.
        taps: What to compute, over whole images.
        window: Which part of the image each output reads.
    """
    block = source.block
    strides = [1 if axis.size == axis.outputs == 1 else axis.stride for axis in window.axes]
    if reads_zeros_beyond(window) and not source.exact:
        return None
    grid = source.grid(subgraph)
    if not any(places % stride for places, stride in zip(block, strides)):
        after = (block[0] // strides[0], block[1] // strides[1])
        taps, block = in_blocks(taps, block, after), after
    elif (block, taps.stride) == (PLACE, 2):
        grid = (-(-grid[0] // 2), -(-grid[1] // 2))
    else:
        return None
    size = shifts.size_of(taps, rows=grid[0])
    rows, columns = (axis.outputs for axis in window.axes)
    if size is None or grid[0] * block[0] < rows or grid[1] * block[1] < columns:
        return None
    return Placed(taps, size, grid, block)


def convolution(
    emitter: shifts.Emitter,
    source: Image,
    taps: shifts.Taps,
    window: windows.Window,
    *,
    bias: int,
    activation: int,
    output: int,
) -> Made | None:
    """A convolution of an image; None if it needs values from too far away.

    Args:
        emitter: Writes the operators.
        source: The image.
        taps: What to compute.
        window: Which part of the image each output reads.
        bias: The tensor of the bias, -1 for none.
        activation: The fused activation of the result.
        output: The tensor of the network before that the result stands for.
    """
    subgraph = emitter.subgraph
    place = placed(subgraph, source, taps, window)
    if place is None:
        return None
    result, moved = made_like(subgraph, output, place.grid, place.block), place.taps
    if bias >= 0 and result.places > 1:
        values = np.tile(subgraph.values(bias), result.places)
        bias = subgraph.add_constant(values, name=f"{subgraph.name(bias)}/blocks")
    if moved.offsets == ((0, 0),) and moved.stride == 1:
        kernel = moved.kernel[:, 0]
        return [emitter.pointwise(source.index, kernel, bias, activation, result.index)], result
    made = emitter.convolution(source.index, moved, place.size, bias, activation, result.index)
    return made, result


def depthwise(
    emitter: shifts.Emitter,
    source: Image,
    kernel: np.ndarray,
    window: windows.Window,
    *,
    bias: int,
    activation: int,
    output: int,
) -> Made | None:
    """A depthwise convolution of an image in blocks of one place, as one; None if it is none.

    Args:
        emitter: Writes the operators.
        source: The image.
        kernel: The weights, of shape (height, width, channels).
        window: Which part of the image each output reads.
        bias: The tensor of the bias, -1 for none.
        activation: The fused activation of the result.
        output: The tensor of the network before that the result stands for.
    """
    subgraph = emitter.subgraph
    (rows, columns), stride = window.axes, window.stride
    dilated = (rows.kernel, columns.kernel) != kernel.shape[:2]
    if source.block != PLACE or dilated or stride not in (1, 2):
        return None
    if reads_zeros_beyond(window) and not source.exact:
        return None
    reach = max(
        abs(end) for axis in window.axes for end in (-axis.begin, axis.kernel - 1 - axis.begin)
    )
    size = next((size for size in shifts.SIZES if reach <= size // 2), None)
    height, width = (-(-each // stride) for each in source.grid(subgraph))
    if size is None or height < rows.outputs or width < columns.outputs:
        return None
    whole = np.zeros((size, size, kernel.shape[2]), np.float32)
    top, left = size // 2 - rows.begin, size // 2 - columns.begin
    whole[top : top + rows.kernel, left : left + columns.kernel] = kernel
    result = made_like(subgraph, output, (height, width), PLACE)
    made, _ = emitter.depthwise(source.index, whole, stride, activation, bias, result.index)
    return made, result


def transposed(emitter: shifts.Emitter, source: Image, operator: Operator) -> Made | None:
    """A TRANSPOSE_CONV of an image, in blocks larger by its stride.

    Row o of the output is the sum over the taps k, for which o + begin - k is a multiple of the
    stride, of row (o + begin - k) / stride of the input.
    """
    subgraph, options = emitter.subgraph, operator.builtinOptions
    output, stride = int(operator.outputs[0]), options.strideH
    kernel = subgraph.constant(int(operator.inputs[1]))
    before = source.block[0]
    after = before * stride
    _, rows, columns, _ = subgraph.shape(output)
    if kernel is None or options.strideW != stride or after > _LARGEST_BLOCK:
        return None
    if source.block[1] != before:
        return None
    if (rows, columns) != (source.rows * stride, source.columns * stride) or not source.exact:
        return None
    outputs, *sizes, channels = kernel.shape
    same = options.padding == schema.Padding.SAME
    begins = [max(size - stride, 0) // 2 if same else 0 for size in sizes]
    shape = (after, after, outputs, before, before, channels)
    places: dict[shifts.Offset, np.ndarray] = {}
    for row, column, y, x in np.ndindex(after, after, *sizes):
        read = (row + begins[0] - y, column + begins[1] - x)
        if read[0] % stride or read[1] % stride:
            continue
        at = (read[0] // stride, read[1] // stride)
        place = (at[0] // before, at[1] // before)
        made = places.setdefault(place, np.zeros(shape, np.float32))
        made[row, column, :, at[0] % before, at[1] % before] += kernel[:, y, x]
    offsets = tuple(sorted(places))
    flat = [places[each].reshape(after**2 * outputs, before**2 * channels) for each in offsets]
    taps = shifts.Taps(np.stack(flat, axis=1), offsets, 1).used
    reach = max(max(abs(y), abs(x)) for y, x in taps.offsets)
    size = next((size for size in shifts.SIZES if reach <= size // 2), None)
    if size is None:
        return None
    result = made_like(subgraph, output, source.grid(subgraph), (after, after))
    bias = int(operator.inputs[3]) if len(operator.inputs) > 3 else -1
    if bias >= 0:
        values = np.tile(subgraph.values(bias), after**2)
        bias = subgraph.add_constant(values, name=f"{subgraph.name(bias)}/blocks")
    activation = options.fusedActivationFunction
    return emitter.convolution(source.index, taps, size, bias, activation, result.index), result
