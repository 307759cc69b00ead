"""Bytes that a sparse weight takes in two storage formats.

Bit mask: one bit an entry, and the nonzero values.

    bytes = ceil(n / 8) + n_nz * value_bytes

CSR(C): each stored value comes with the number of zeros before it, as a small unsigned integer of
b bits. A run of zeros too long for b bits is bridged by stored zeros, one for every 2^b zeros.

    bytes = ceil(stored * b / 8) + stored * value_bytes,   stored = n_nz + sum over runs of
            floor(length / 2^b)

The weight is read as one row in C order; zeros after the last nonzero take no space.

Source: Zhu & Gupta, arXiv 1710.01878, discussion of the storage overhead, which gives 4 or 5 bits
for b; Parashar et al., "SCNN", arXiv 1708.04485. Time O(n); memory one chunk beyond the mask.
"""

import ml_dtypes
import numpy as np

COUNT_BITS = 5
_CHUNK = 1 << 20


def value_bytes(dtype: str) -> int:
    """Return the bytes that one value of a Keras dtype takes.

    Args:
        dtype: name, such as "float32" or "bfloat16". Not the dtype of a variable's NumPy array:
            bfloat16 becomes float32 there.

    Example:
        >>> value_bytes("float32"), value_bytes("bfloat16")
        (4, 2)
    """
    return np.dtype(getattr(ml_dtypes, dtype, dtype)).itemsize


def bitmask_bytes(nonzero: np.ndarray, value_bytes: int) -> int:
    """Return the bytes of a weight as bit mask and nonzero values.

    Args:
        nonzero: boolean array of any shape, True where the weight is not zero.
        value_bytes: bytes a value, such as 4 for float32.

    Example:
        >>> bitmask_bytes(np.array([True, False, False, True]), 4)
        9
    """
    return -(-nonzero.size // 8) + int(np.count_nonzero(nonzero)) * value_bytes


def csr_bytes(nonzero: np.ndarray, value_bytes: int) -> int:
    """Return the bytes of a weight as values, each with the number of zeros before it.

    Args:
        nonzero: boolean array of any shape, True where the weight is not zero.
        value_bytes: bytes a value, such as 4 for float32.

    Example:
        >>> csr_bytes(np.array([True, False, False, True]), 4)  # 2 values, 2 counts of 5 bits
        10
    """
    flat = nonzero.reshape(-1)
    stored, previous = 0, -1
    for start in range(0, flat.size, _CHUNK):
        places = np.flatnonzero(flat[start : start + _CHUNK]) + start
        if places.size:
            runs = np.diff(places, prepend=previous) - 1
            stored += places.size + int((runs >> COUNT_BITS).sum())
            previous = int(places[-1])
    return -(-stored * COUNT_BITS // 8) + stored * value_bytes
