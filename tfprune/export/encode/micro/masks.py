"""Zeros as one bit each: tflite-micro's "pruning" encoding.

    encoded tensor   one bit a weight in running order, the first in the highest bit; 1 = stored
    after the header the stored values in running order

Size: 1 + (1 - sparsity) * (bits of a value) bits a weight. Where the bit is 0 the decoder writes
the zero point, so weights must have zero points of 0, as the converter's always have.
"""

import numpy as np

from tfprune.export.encode.micro.encoded_constant import BIT_MASK, Coded, as_bits, coded


def bit_mask(values: np.ndarray) -> Coded:
    """Encodes a weight by a bit mask and its nonzero values.

    Args:
        values: int8 or float32, any shape.

    Example:
        >>> bit_mask(np.array([0, 5, 0, 0, 0, 0, 0, 7], np.int8)).codes
        array([65], dtype=uint8)
    """
    bits = as_bits(values)
    return coded(BIT_MASK, b"", np.packbits(bits != 0), bits[bits != 0])
