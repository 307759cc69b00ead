"""Storing float32 constants in fewer bits.

float16 rounds each value. int8 is what TFLite takes for weights (its quantization specification):
one scale per output channel, s = max|w| / 127, zero point 0, w ~ s * q with q in [-127, 127]; zero
stays exactly zero.
"""

import dataclasses

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.constants import Weight
from tfprune.export.file.subgraph import TYPES
from tfprune.export.file.tables import Quantization

_LEVELS = 127
FEW = 64  # values of a weight that are kept as few
NEAR = 0.03  # of a channel's largest value, how far one scale for all may round
_PARAMETER_BYTES = 12  # a float32 scale and an int64 zero point
_LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


@dataclasses.dataclass(frozen=True, eq=False)
class Narrowed:
    """The values of a constant as they are stored.

    Attributes:
        values: float32, float16 or int8, in the constant's shape.
        kind: The schema's type where a DEQUANTIZE must give float32, else None.
        scales: For int8, one scale per output channel, or one for all.
        axis: The axis of the output channels.
        dequantize_version: The version of DEQUANTIZE that reads it.
    """

    values: np.ndarray
    kind: int | None = None
    scales: np.ndarray | None = None
    axis: int = 0
    dequantize_version: int = 0

    @property
    def stored_type(self) -> int:
        """The schema's type of the stored values."""
        return TYPES.FLOAT32 if self.kind is None else self.kind

    @property
    def parameter_nbytes(self) -> int:
        """Bytes of scales and zero points."""
        return 0 if self.scales is None else self.scales.size * _PARAMETER_BYTES

    def quantization(self, axis: int) -> Quantization | None:
        """The schema's `QuantizationParametersT` along an axis; None without scales."""
        if self.scales is None:
            return None
        parameters: Quantization = schema.QuantizationParametersT()
        parameters.scale = self.scales
        parameters.zeroPoint = np.zeros(self.scales.size, np.int64)
        parameters.quantizedDimension = axis if self.scales.size > 1 else 0
        return parameters


def unchanged(values: np.ndarray) -> Narrowed:
    """The values as they are."""
    return Narrowed(values)


def narrow(weight: Weight, quantize: str | None) -> Narrowed:
    """The values of a float32 constant in the bits asked for.

    Args:
        weight: The constant; int8 ones stay as they are.
        quantize: "float16" or "int8_weights"; anything else changes nothing.

    Returns:
        Its new values. Biases are not made int8.

    Raises:
        ValueError: If values are beyond the range of float16.
    """
    if weight.values.dtype != np.float32:
        return unchanged(weight.values)
    if quantize == "int8_weights" and not weight.is_bias:
        values, scales = int8_weights(weight.values, weight.channel_axis)
        return Narrowed(values, TYPES.INT8, scales, weight.channel_axis, dequantize_version=5)
    if quantize == "float16":
        largest = np.max(np.abs(weight.values), initial=0.0)
        if largest > _LARGEST_FLOAT16:
            raise ValueError(
                f"`quantize` must not be 'float16' for values beyond {_LARGEST_FLOAT16:,.0f}. "
                f"Received: {weight.name!r}, with values up to {largest:.4g}."
            )
        return Narrowed(weight.values.astype(np.float16), TYPES.FLOAT16, dequantize_version=3)
    return unchanged(weight.values)


def int8_weights(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Rounds values to int8: with one scale where they are few, else with one per channel.

    Few values, such as those of clustered weights, stay as few and compress as such. Scales of
    channels would make as many of them in each channel.

    Args:
        values: float32, any shape.
        axis: The axis of the channels.

    Returns:
        As `int8_channels`; one scale where it keeps values apart and each near to its own.

    Example:
        >>> int8_weights(np.array([[1.0, -0.5], [0.0, 0.5]], np.float32), 0)[0]
        array([[127, -64],
               [  0,  64]], dtype=int8)
    """
    few, index = np.unique(values, return_inverse=True)
    largest = np.abs(few).max(initial=0.0)
    if 0 < few.size <= FEW and largest > 0:
        scale = np.float32(largest / _LEVELS)
        rounded = np.clip(np.round(few / scale), -_LEVELS, _LEVELS)
        away = np.abs(rounded * scale - few)[index.reshape(values.shape)]
        others = tuple(np.delete(np.arange(values.ndim), axis))
        sizes = np.max(np.abs(values), axis=others)
        if np.unique(rounded).size == few.size and np.all(away.max(axis=others) <= NEAR * sizes):
            found = rounded[index.reshape(values.shape)].astype(np.int8)
            return found, np.array([scale], np.float32)
    return int8_channels(values, axis)


def int8_channels(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Rounds values to int8 with one scale per channel.

    Args:
        values: float32, any shape.
        axis: The axis of the channels.

    Returns:
        (int8 values in [-127, 127] in the same shape, float32 scales of shape (channels,)).

    Example:
        >>> int8_channels(np.array([[1.0, -0.5], [0.0, 0.0]], np.float32), 0)[0]
        array([[127, -64],
               [  0,   0]], dtype=int8)
    """
    others = tuple(np.delete(np.arange(values.ndim), axis))
    largest = np.max(np.abs(values), axis=others, keepdims=True)
    scales = np.where(largest > 0, largest / _LEVELS, 1.0).astype(np.float32)
    # A scale that is rounded down could push the largest value to 128.
    rounded = np.clip(np.round(values / scales), -_LEVELS, _LEVELS).astype(np.int8)
    return rounded, scales.ravel()
