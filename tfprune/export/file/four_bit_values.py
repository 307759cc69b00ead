"""Values of 4 bits as TFLite's INT4 holds them: two a byte, the first in the low half."""

import math

import numpy as np

_SIGN = 8


def packed(values: np.ndarray) -> np.ndarray:
    """Values of 4 bits, two a byte, as uint8; the last half of an odd number is 0.

    Args:
        values: Integers in [-8, 7], any shape.

    Example:
        >>> packed(np.array([1, -1, 7])).tolist()
        [241, 7]
    """
    flat = values.ravel().astype(np.uint8) & 0xF
    if flat.size % 2:
        flat = np.append(flat, np.uint8(0))
    return flat[::2] | (flat[1::2] << 4)


def unpacked(stored: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The values again, as int8.

    Args:
        stored: uint8, two values a byte.
        shape: That of the values; half a byte behind them is left out.

    Example:
        >>> unpacked(np.array([241, 7], np.uint8), (3,)).tolist()
        [1, -1, 7]
    """
    halves = np.stack([stored & 0xF, stored >> 4], axis=-1).ravel().astype(np.int8)
    values = (halves[: math.prod(shape)] ^ _SIGN) - np.int8(_SIGN)
    return values.reshape(shape)
