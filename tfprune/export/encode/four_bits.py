"""Storing the weights of an int8 file in 4 bits: 15 levels for each output channel.

With one scale per channel, s = max|w| / 7, a weight is s q with q in [-7, 7]; zero stays zero. A
weight that was trained to 15 levels is stored exactly; any other is rounded. A bias has the scale
of input times weight, so that it is written anew.

Where a channel has next to no weights, the converter makes its scale so small that the bias is
2^30 of it. In 4 bits XNNPACK multiplies sums by 16, and such a bias is lost: there s is as large as
it takes for the bias to stay below 2^26.

LiteRT's FULLY_CONNECTED and CONV_2D take such weights; the other kernels keep their int8.
"""

import copy

import numpy as np

from tfprune.export.encode.narrowing import Narrowed
from tfprune.export.file import flatbuffer
from tfprune.export.file.constants import Weight, constant_weights, inputs_of
from tfprune.export.file.four_bit_values import packed
from tfprune.export.file.subgraph import OPERATORS, TYPES, Subgraph, subgraphs
from tfprune.export.file.tables import Model, Operator

_LEVELS = 7
_LARGEST_BIAS = 2**26
_TAKING = {OPERATORS.FULLY_CONNECTED, OPERATORS.CONV_2D}


def in_four_bits(file: flatbuffer.File) -> tuple[flatbuffer.File, tuple[str, ...]]:
    """The file with every weight in 4 bits whose operators take that.

    Args:
        file: An int8 file, which stays as it is.

    Returns:
        The new file, and the names of the weights that are stored so.
    """
    model = copy.deepcopy(file.model)
    names = []
    for weight in list(constant_weights(model)):
        if not weight.is_bias and weight.values.dtype == np.int8 and weight.codes <= _TAKING:
            if _narrow(model, weight):
                names.append(weight.name)
    _empty_unread(model)
    return flatbuffer.File(model, flatbuffer.pack(model)), tuple(sorted(names))


def _narrow(model: Model, weight: Weight) -> bool:
    """Stores one weight anew, with the biases beside it; False where it cannot be done."""
    first = weight.uses[0]
    axis, before = weight.channel_axis, _scales(first.subgraph, first.index)
    if before is None or before.size not in (1, weight.values.shape[axis]):
        return False
    values, after = four_bit_levels(weight.values, before, axis, _largest_biases(weight))
    made: dict[tuple[int, int], int] = {}
    for subgraph, reader in weight.readers:
        _rescale_bias(subgraph, reader, before / after.astype(np.float64), made)
    model.buffers[weight.buffer].data = packed(values)
    for use in weight.uses:
        tensor = use.subgraph.tensor(use.index)
        tensor.type = TYPES.INT4
        tensor.quantization = Narrowed(values, TYPES.INT4, after, axis).quantization(axis)
    return True


def _scales(subgraph: Subgraph, index: int) -> np.ndarray | None:
    quantization = subgraph.tensor(index).quantization
    found = None if quantization is None else quantization.scale
    return None if found is None else np.asarray(found, np.float32)


def _largest_biases(weight: Weight) -> np.ndarray:
    """The largest bias of each channel beside a weight, in its int32 steps; (1,) without any."""
    found = [np.zeros(1)]
    for subgraph, reader in weight.readers:
        _, bias = inputs_of(subgraph, reader)
        values = None if bias is None else subgraph.constant(bias)
        if values is not None and values.dtype == np.int32:
            found.append(np.abs(values.astype(np.float64)))
    return np.max(np.broadcast_arrays(*found), axis=0)


def four_bit_levels(
    values: np.ndarray, scales: np.ndarray, axis: int, biases: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """The levels and scales of int8 values in 4 bits.

    Args:
        values: int8, any shape.
        scales: float32, one for each channel or one for all.
        axis: The axis of the channels.
        biases: Sizes of the biases beside them, in their steps; one for each channel or for all.

    Returns:
        (int8 in [-7, 7] in the same shape, float32 scales of shape (channels,)).

    Example:
        >>> four_bit_levels(np.array([[127, -18, 0]], np.int8), np.array([0.5], np.float32), 0)
        (array([[ 7, -1,  0]], dtype=int8), array([9.071428], dtype=float32))
    """
    others = tuple(np.delete(np.arange(values.ndim), axis))
    largest = np.max(np.abs(values.astype(np.float64)), axis=others, keepdims=True)
    largest = np.where(largest > 0, largest, _LEVELS)
    least = _LEVELS / _LARGEST_BIAS * np.reshape(biases, [-1] + [1] * (values.ndim - 1))
    largest = np.maximum(largest, np.moveaxis(least, 0, axis))
    levels = np.round(values * (_LEVELS / largest)).astype(np.int8)
    return levels, (largest.ravel() / _LEVELS * scales).astype(np.float32)


def _rescale_bias(
    subgraph: Subgraph, reader: Operator, ratio: np.ndarray, made: dict[tuple[int, int], int]
) -> None:
    """Gives an operator a bias in the scales of its new weight; the old one stays for others.

    Args:
        subgraph: Where the operator stands.
        reader: The operator.
        ratio: Old scale of the weight over the new one, for each channel.
        made: (subgraph, old bias) -> new bias, of the operators that read the same weight.
    """
    _, bias = inputs_of(subgraph, reader)
    if bias is None:
        return
    values, scales = subgraph.constant(bias), _scales(subgraph, bias)
    if values is None or values.dtype != np.int32 or scales is None:
        return
    place = id(subgraph.table), bias
    if place not in made:
        rounded = np.round(values * ratio).astype(np.int32)
        made[place] = new = subgraph.add_constant(rounded, name=subgraph.name(bias))
        scaled = Narrowed(rounded, TYPES.INT32, (scales / ratio).astype(np.float32))
        subgraph.tensor(new).quantization = scaled.quantization(0)
    inputs = [made[place] if index == bias else int(index) for index in reader.inputs]
    reader.inputs = np.array(inputs, np.int32)


def _empty_unread(model: Model) -> None:
    """Takes the values out of constants that nothing reads any more."""
    read = {0, *(entry.buffer for entry in model.metadata or ())}
    for subgraph in subgraphs(model):
        used = {*subgraph.inputs, *subgraph.outputs, *subgraph.readers(), *subgraph.producers()}
        read |= {subgraph.tensor(index).buffer for index in used}
    for index, buffer in enumerate(model.buffers):
        if index not in read:
            buffer.data = None
