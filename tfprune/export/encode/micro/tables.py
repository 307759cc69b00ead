"""Few different values as indices of 1 to 7 bits into a table of them.

    byte 5           high four bits: the axis whose every channel has a table, 15 for one table
                     low three bits: bits of an index
    byte 6           values from one channel's table to the next
    encoded tensor   the indices in running order, the first in the highest bits, not byte-aligned
    after the header the tables

One table has a distance of 0 to the next, too: that is what decoders go by which know no axis and
take a table for each scale of the weight. For the same reason only weights with a scale for each
channel have a table for each.
"""

import numpy as np

from tfprune.export.encode.micro.encoded_constant import LOOKUP, Coded, as_bits, coded

_MOST_BITS = 7
_ONE_TABLE = 15


def lookup(values: np.ndarray, *, axis: int | None = None) -> Coded | None:
    """Encodes a weight by tables of its values.

    Args:
        values: int8 or float32, any shape but an empty one.
        axis: The first or the last axis to give each channel a table of its own; None for one.

    Returns:
        The encoding; None where a table would have more than 128 values.

    Example:
        >>> lookup(np.array([3, 3, -2, 3], np.int8)).codes  # indices 1, 1, 0, 1
        array([208], dtype=uint8)
    """
    bits = as_bits(values).reshape(values.shape)
    channels = 1 if axis is None else values.shape[axis]
    first = bits if axis is None else np.moveaxis(bits, axis, 0)
    rows = first.reshape(channels, -1)
    tables = [np.unique(row) for row in rows]
    longest = max(len(table) for table in tables)
    width = max(1, (longest - 1).bit_length())
    if width > _MOST_BITS:
        return None
    indices = np.array([np.searchsorted(table, row) for table, row in zip(tables, rows)])
    if axis not in (None, 0):  # back to running order
        indices = indices.T
    shifts = np.arange(width - 1, -1, -1)
    codes = np.packbits(((indices.reshape(-1, 1) >> shifts) & 1).astype(np.uint8))
    packed = np.zeros((len(tables), longest), bits.dtype)
    for row, table in zip(packed, tables):
        row[: len(table)] = table
    place, distance = (_ONE_TABLE, 0) if axis is None else (axis % values.ndim, longest)
    return coded(LOOKUP, bytes([place << 4 | width, distance]), codes, packed)
