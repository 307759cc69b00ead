"""Means of images, and what is computed of them before they meet an image again."""

import math

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import tensors
from tfprune.export.rewrites.lowered import shifts
from tfprune.export.rewrites.lowered.image import Image

SINGLE = frozenset(
    getattr(OPERATORS, name)
    for name in (
        "ABS CEIL ELU FLOOR GELU HARD_SWISH LEAKY_RELU LOGISTIC NEG RELU RELU6 RELU_N1_TO_1 ROUND "
        "SQUARE TANH"
    ).split()
)
PAIRS = (OPERATORS.ADD, OPERATORS.MUL)
_THROUGH = {*SINGLE, *PAIRS, OPERATORS.CONV_2D, OPERATORS.FULLY_CONNECTED, OPERATORS.RESHAPE}
_NONE = schema.ActivationFunctionType.NONE


def meets_image(subgraph: Subgraph, index: int) -> bool:
    """Whether what is computed of a mean meets an image again."""
    reached = {index}
    for operator in subgraph.operators:
        read = [int(i) for i in operator.inputs if i >= 0]
        if not reached & set(read) or subgraph.code(operator) not in _THROUGH:
            continue
        if any(tensors.is_spatial(subgraph, i) for i in read):
            return True
        reached |= set(map(int, operator.outputs))
    return False


def mean(
    emitter: shifts.Emitter, operator: Operator, source: Image, output: int, keep: bool | None
) -> list[Operator]:
    """A MEAN over height and width, after what has to run before it.

    Args:
        emitter: Writes the operators.
        operator: The MEAN of the network before.
        source: The image.
        output: The tensor to write.
        keep: Whether to keep the axes; None for as before.
    """
    made, index = _mean_of_blocks(emitter, source)
    options = schema.ReducerOptionsT()
    options.keepDims = operator.builtinOptions.keepDims if keep is None else keep
    inputs = [index, int(operator.inputs[1])]
    return [*made, emitter.subgraph.operator(OPERATORS.MEAN, inputs, [output], options)]


def _mean_of_blocks(emitter: shifts.Emitter, source: Image) -> tuple[list[Operator], int]:
    """The mean over the places of each block, as a tensor of the image's channels."""
    places = source.places
    if places == 1:
        return [], source.index
    kernel = np.tile(np.eye(source.channels, dtype=np.float32) / places, (1, places))
    batch, height, width, _ = emitter.subgraph.shape(source.index)
    sizes = (batch, height, width, source.channels)
    made = tensors.like(emitter.subgraph, source.index, sizes, "mean")
    return [emitter.pointwise(source.index, kernel, -1, _NONE, made)], made


def over_blocks(
    emitter: shifts.Emitter, vector: Image, places: int
) -> tuple[list[Operator], int]:
    """An image of one place, its channels once for each of the places of a block."""
    if places == 1:
        return [], vector.index
    kernel = np.tile(np.eye(vector.channels, dtype=np.float32), (places, 1))
    batch = emitter.subgraph.shape(vector.index)[0]
    made = tensors.like(emitter.subgraph, vector.index, (batch, 1, 1, len(kernel)), "blocks")
    return [emitter.pointwise(vector.index, kernel, -1, _NONE, made)], made


def dense(
    emitter: shifts.Emitter, operator: Operator, source: Image
) -> tuple[list[Operator], Image] | None:
    """Dense over the channels of an image or of a mean, as a 1x1 convolution."""
    subgraph, output = emitter.subgraph, int(operator.outputs[0])
    weights = subgraph.constant(int(operator.inputs[1]))
    vector = (source.rows, source.columns) == (1, 1)
    if weights is None or weights.shape[1] != source.channels:
        return None
    if not vector and not operator.builtinOptions.keepNumDims:
        return None
    batch = subgraph.shape(source.index)[0]
    sizes = (batch, *source.grid(subgraph), source.places * len(weights))
    values = batch * source.rows * source.columns * len(weights)
    if math.prod(subgraph.shape(output)) != values:
        return None
    index = tensors.like(subgraph, source.index, sizes, "dense")
    exact = source.is_whole(subgraph)
    result = Image(index, source.block, source.rows, source.columns, len(weights), exact)
    bias = int(operator.inputs[2]) if len(operator.inputs) > 2 else -1
    if source.places > 1:
        weights = np.kron(np.eye(source.places, dtype=np.float32), weights)
        if bias >= 0:
            tiled = np.tile(subgraph.values(bias), source.places)
            bias = subgraph.add_constant(tiled, name=f"{subgraph.name(bias)}/blocks")
    activation = operator.builtinOptions.fusedActivationFunction
    return [emitter.pointwise(source.index, weights, bias, activation, index)], result
