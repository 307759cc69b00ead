"""Sums and products of images and constants, and images side by side, in the sparse mode."""

import copy

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import tensors
from tfprune.export.rewrites.lowered import shifts, vectors
from tfprune.export.rewrites.lowered.image import PLACE, Image, made_like

LARGEST_BLOCK = 4

Made = tuple[list[Operator], Image]

_NONE = schema.ActivationFunctionType.NONE


def on_values(subgraph: Subgraph, operator: Operator, inputs: list[int], result: Image) -> Operator:
    """A copy of an operator that reads and writes other tensors."""
    made = copy.deepcopy(operator)
    made.inputs = np.array(inputs, np.int32)
    made.outputs = np.array([result.index], np.int32)
    return made


def constant_in_blocks(subgraph: Subgraph, index: int, image: Image) -> int | None:
    """A constant beside an image, of rank 4 and once for each place of a block.

    None if it varies over places.
    """
    values = subgraph.constant(index)
    if values is None or values.dtype != np.float32:
        return None
    if values.size not in (1, values.shape[-1] if values.ndim else 1):
        return None
    tiled = values.reshape(1, 1, 1, -1)
    if values.size > 1:
        tiled = np.tile(tiled, image.places)
    name = f"{tensors.short_name(subgraph, index)}/blocks"
    return subgraph.add_constant(np.ascontiguousarray(tiled), name=name)


def single(emitter: shifts.Emitter, operator: Operator, source: Image) -> Made:
    """An operator on each value."""
    subgraph = emitter.subgraph
    output = int(operator.outputs[0])
    result = made_like(subgraph, output, source.grid(subgraph), source.block)
    inputs = [source.index, *operator.inputs[1:]]
    return [on_values(subgraph, operator, inputs, result)], result


def interpolated(emitter: shifts.Emitter, operator: Operator, source: Image) -> Made | None:
    """A RESIZE_BILINEAR, which the mode has for blocks of one place."""
    subgraph, output = emitter.subgraph, int(operator.outputs[0])
    small = min(source.rows, source.columns) < 2
    if source.block != PLACE or not source.is_whole(subgraph) or small:
        return None
    _, rows, columns, _ = subgraph.shape(output)
    result = made_like(subgraph, output, (rows, columns), PLACE)
    inputs = [source.index, *operator.inputs[1:]]
    return [on_values(subgraph, operator, inputs, result)], result


def resized(emitter: shifts.Emitter, operator: Operator, source: Image) -> Made | None:
    """A RESIZE_NEAREST_NEIGHBOR by a whole factor."""
    output = int(operator.outputs[0])
    factor = emitter.subgraph.shape(output)[1] // source.rows
    if operator.builtinOptions.alignCorners:
        return None
    return enlarged(emitter, source, factor, output)


def enlarged(emitter: shifts.Emitter, source: Image, factor: int, output: int) -> Made | None:
    """An image each place of which is repeated along both axes, as blocks that are larger."""
    subgraph = emitter.subgraph
    before = source.block
    after = (before[0] * factor, before[1] * factor)
    same = subgraph.shape(output)[1:3] == (factor * source.rows, factor * source.columns)
    if not same or max(after) > LARGEST_BLOCK or not source.is_whole(subgraph):
        return None
    kernel = np.zeros((*after, source.channels, *before, source.channels), np.float32)
    for y, x, channel in np.ndindex(*after, source.channels):
        kernel[y, x, channel, y // factor, x // factor, channel] = 1
    result = made_like(subgraph, output, source.grid(subgraph), after)
    flat = kernel.reshape(result.places * source.channels, -1)
    return [emitter.pointwise(source.index, flat, -1, _NONE, result.index)], result


def unfolded(emitter: shifts.Emitter, operator: Operator, source: Image) -> Made | None:
    """DEPTH_TO_SPACE of places, which is another way to read them: as blocks."""
    block = operator.builtinOptions.blockSize
    _, rows, columns, channels = emitter.subgraph.shape(int(operator.outputs[0]))
    if source.block != PLACE or not source.is_whole(emitter.subgraph):
        return None
    return [], Image(source.index, (block, block), rows, columns, channels)


def pair(
    emitter: shifts.Emitter, operator: Operator, first: Image | None, second: Image | None
) -> Made | None:
    """A sum or product of two images, of an image and a vector or of an image and a constant.

    Args:
        emitter: Writes the operators.
        operator: ADD or MUL.
        first: Its first operand, None where that is no image.
        second: Its second one.
    """
    subgraph, output = emitter.subgraph, int(operator.outputs[0])
    image = max((i for i in (first, second) if i), key=lambda i: i.rows * i.columns)
    result = made_like(subgraph, output, image.grid(subgraph), image.block)
    sizes = (image.rows, image.columns, image.channels)
    if (result.rows, result.columns, result.channels) != sizes:
        return None
    if first is None or second is None:
        known = int(operator.inputs[0 if first is None else 1])
        constant = constant_in_blocks(subgraph, known, image)
        if constant is None:
            return None
        return [on_values(subgraph, operator, [constant, image.index], result)], result
    other = second if image is first else first
    made: list[Operator] = []
    index = other.index
    if (other.rows, other.columns) == (1, 1) != (image.rows, image.columns):
        if other.channels != image.channels:
            return None
        made, index = vectors.over_blocks(emitter, other, image.places)
    elif subgraph.shape(index) != subgraph.shape(image.index):
        return None
    if image.index == index:  # which the mode does not take
        return None
    return [*made, on_values(subgraph, operator, [image.index, index], result)], result


def side_by_side(
    emitter: shifts.Emitter, operator: Operator, sources: list[Image]
) -> Made | None:
    """Images with their channels behind each other, as a sum of images with zeros in between."""
    subgraph, first, output = emitter.subgraph, sources[0], int(operator.outputs[0])
    grid = first.grid(subgraph)
    if len(sources) < max(2, len(operator.inputs)) or len(subgraph.shape(output)) != 4:
        return None
    if any(each.block != first.block or each.grid(subgraph) != grid for each in sources):
        return None
    if operator.builtinOptions.axis % 4 != 3:
        return None
    activation = operator.builtinOptions.fusedActivationFunction
    result = made_like(subgraph, output, grid, first.block)
    begin, made, total = 0, [], -1
    places = first.places
    for number, source in enumerate(sources):
        kernel = np.zeros((places, result.channels, places, source.channels), np.float32)
        for place in range(places):
            for channel in range(source.channels):
                kernel[place, begin + channel, place, channel] = 1
        begin += source.channels
        last = number == len(sources) - 1
        placed = _like(subgraph, result, "placed")
        flat = kernel.reshape(places * result.channels, -1)
        made.append(emitter.pointwise(source.index, flat, -1, _NONE, placed))
        if total < 0:
            total = placed
            continue
        summed = result.index if last else _like(subgraph, result, "sum")
        options = schema.AddOptionsT()
        options.fusedActivationFunction = activation if last else _NONE
        made.append(subgraph.operator(OPERATORS.ADD, [total, placed], [summed], options))
        total = summed
    return made, result


def shuffled(
    emitter: shifts.Emitter, source: Image, order: np.ndarray, output: int
) -> tuple[list[Operator], Image]:
    """An image with its channels in another order."""
    subgraph = emitter.subgraph
    result = made_like(subgraph, output, source.grid(subgraph), source.block)
    each = np.eye(source.channels, dtype=np.float32)[order]
    kernel = np.kron(np.eye(source.places, dtype=np.float32), each)
    return [emitter.pointwise(source.index, kernel, -1, _NONE, result.index)], result


def _like(subgraph: Subgraph, image: Image, suffix: str) -> int:
    return tensors.like(subgraph, image.index, subgraph.shape(image.index), suffix)
