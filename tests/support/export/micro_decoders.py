"""Decoders of what TFLM_DECODE reads, value by value, from the layouts alone."""

import numpy as np


def decoded(
    codes: np.ndarray, ancillary: np.ndarray, dtype: np.dtype, shape: tuple[int, ...]
) -> np.ndarray:
    """Expand one constant."""
    kind, version, _, _, scheme = ancillary[:5].tolist()
    assert (version, scheme) == (1, 1)
    expand = {0: _lookup, 1: _huffman, 2: _bit_mask}[kind]
    return np.array(expand(codes, ancillary, np.dtype(dtype), shape), dtype).reshape(shape)


def _bits(codes: np.ndarray, begin: int, count: int) -> int:
    value = 0
    for place in range(begin, begin + count):
        value = value << 1 | int(codes[place // 8]) >> (7 - place % 8) & 1
    return value


def _bit_mask(codes, ancillary, dtype, shape):
    values = iter(np.frombuffer(ancillary[16:].tobytes(), dtype))
    size = int(np.prod(shape))
    return [next(values) if _bits(codes, place, 1) else 0 for place in range(size)]


def _lookup(codes, ancillary, dtype, shape):
    axis, width, distance = ancillary[5] >> 4, int(ancillary[5] & 7), int(ancillary[6])
    tables = np.frombuffer(ancillary[16:].tobytes(), dtype)
    channels = np.zeros(shape, int)
    if axis != 15:
        channels = np.indices(shape)[axis]
    return [
        tables[channel * distance + _bits(codes, place * width, width)]
        for place, channel in enumerate(channels.ravel().tolist())
    ]


def _huffman(codes, ancillary, dtype, shape):
    entries = np.frombuffer(ancillary[16:].tobytes(), np.uint16).tolist()
    place, found = 0, []
    while len(found) < int(np.prod(shape)):
        table, width = 0, int(ancillary[5] >> 4) + 1
        while True:
            at = table + _bits(codes, place, width)
            entry = entries[at]
            count = entry >> 11 & 15
            if entry & 0x8000:
                break
            place, table, width = place + width, at + (entry & 0x7FF), count + 1
        place += count
        found.append(np.uint8(entry & 0xFF).view(np.int8))
    return found
