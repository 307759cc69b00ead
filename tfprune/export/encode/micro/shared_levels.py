"""The same few int8 values in every channel of a weight that has few values in Keras.

The converter gives each channel the scale by which its largest value becomes 127, and BatchNorm,
which it folds, has multiplied each channel by a number of its own. So a kernel of 16 values turns
into one of many, a few in each channel, which take more bits and larger tables. Here a channel of
Keras's kernel, times its number, gets instead the scale by which the largest value of the *whole*
kernel becomes 127: every channel then has the integers that the kernel itself has in int8. With
K the kernel, c a channel, s_c its scale and g_c its number:

    g_c = ±127 s_c / max|K_c|,   step = max|K| / 127,   integers = ± round(K / step),
    new scale = |g_c| step

Biases, which have the scale of the input times that of the channel, are rounded again. A weight is
left as it is where its integers are not those of the kernel, or where a channel would be rounded
much more coarsely, as of weights with many values.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from tfprune.export.encode.narrowing import FEW, NEAR
from tfprune.export.file import flatbuffer
from tfprune.export.file.constants import Weight, constant_weights, inputs_of
from tfprune.export.file.subgraph import Subgraph
from tfprune.export.file.tables import Model, Quantization

_LARGEST = 127
_HALF_STEP = 0.75  # of a scale: the converter rounds to the nearest, in float32


def with_shared_levels(file: flatbuffer.File, kernels: Mapping[str, np.ndarray]) -> flatbuffer.File:
    """Gives int8 weights the levels of the kernels that they come from.

    Args:
        file: A dense file, which stays as it is.
        kernels: Path of a variable in Keras -> its value.

    Returns:
        A file with new weights, scales and biases; the same one where nothing changes.
    """
    model = flatbuffer.copied(file.model)
    done = [_share(model, weight, kernels) for weight in list(constant_weights(model))]
    return flatbuffer.File(model, flatbuffer.pack(model)) if any(done) else file


def _share(model: Model, weight: Weight, kernels: Mapping[str, np.ndarray]) -> bool:
    """Changes one weight in place; returns whether it did."""
    scales = _scales(weight)
    if weight.is_bias or scales is None:
        return False
    axis = weight.channel_axis
    for kernel in _candidates(weight, kernels):
        found = _levels(np.moveaxis(weight.values, axis, 0), np.moveaxis(kernel, axis, 0), scales)
        if found is None:
            continue
        levels, new_scales = np.moveaxis(found[0], 0, axis), found[1]
        if len(np.unique(levels)) >= len(np.unique(weight.values)):
            continue
        if _rescale_biases(model, weight, new_scales / scales):
            for use in weight.uses:
                tensor = use.subgraph.tensor(use.index)
                assert tensor.quantization is not None  # it has the scales
                tensor.quantization.scale = new_scales.astype(np.float32)
                tensor.buffer = flatbuffer.add_buffer(model, levels.astype(np.int8))
            model.buffers[weight.buffer].data = None
            return True
    return False


def _scales(weight: Weight) -> np.ndarray | None:
    """The scales of an int8 weight that one tensor holds, one a channel; else None."""
    if weight.values.dtype != np.int8 or len(weight.uses) != 1:
        return None
    (use,) = weight.uses
    found = use.subgraph.tensor(use.index).quantization
    channels = weight.values.shape[weight.channel_axis]
    if found is None or found.scale is None or len(found.scale) != channels or channels < 2:
        return None
    return None if found.quantizedDimension != weight.channel_axis else np.asarray(found.scale)


def _candidates(weight: Weight, kernels: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    """Kernels that may have become a weight, in its shape."""
    for path, kernel in kernels.items():
        named = path == weight.name or path.endswith(f"/{weight.name}")
        if named and kernel.size == weight.values.size:
            yield np.moveaxis(kernel, -1, 0).reshape(weight.values.shape)
            yield kernel.reshape(weight.values.shape)


def _levels(
    values: np.ndarray, kernel: np.ndarray, scales: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """The integers and scales of a weight with the kernel's levels; None where it is no such one.

    Args:
        values: int8, channels first.
        kernel: What it should come from, in the same shape.
        scales: One a channel.
    """
    shape, channels = values.shape, len(values)
    values = values.reshape(channels, -1).astype(np.float64)
    kernel = kernel.reshape(channels, -1).astype(np.float64)
    largest = np.abs(kernel).max(1)
    if not largest.max() or len(np.unique(kernel)) > FEW:
        return None
    sign = np.where((values * kernel).sum(1) < 0, -1.0, 1.0)
    factors = np.divide(sign * _LARGEST * scales, largest, out=np.ones(channels), where=largest > 0)
    away = np.abs(values * scales[:, None] - kernel * factors[:, None])
    if np.any(away > _HALF_STEP * scales[:, None]):
        return None
    step = largest.max() / _LARGEST
    levels = np.round(kernel / step)
    if np.any(np.abs(levels * step - kernel).max(1) > NEAR * largest):
        return None
    new = np.where(largest > 0, np.abs(factors) * step, scales)
    return (sign[:, None] * levels).reshape(shape), new


def _rescale_biases(model: Model, weight: Weight, ratios: np.ndarray) -> bool:
    """Rounds the biases of a weight's readers to new scales; returns whether that was possible."""
    biases: dict[int, tuple[Subgraph, Quantization]] = {}
    for subgraph, operator in weight.readers:
        _, bias = inputs_of(subgraph, operator)
        if bias is None:
            continue
        found = subgraph.tensor(bias).quantization
        values = subgraph.constant(bias)
        alone = subgraph.readers()[bias] == [operator]
        if not alone or found is None or found.scale is None or values is None:
            return False
        if len(found.scale) != len(ratios) or values.dtype != np.int32:
            return False
        biases[bias] = subgraph, found
    for bias, (subgraph, quantization) in biases.items():
        rounded = np.round(subgraph.values(bias) / ratios).astype(np.int32)
        subgraph.tensor(bias).buffer = flatbuffer.add_buffer(model, rounded)
        quantization.scale = (np.asarray(quantization.scale) * ratios).astype(np.float32)
    return True
