"""Frequent values in few bits: canonical Huffman codes of int8 values.

    byte 5           high four bits: bits that the first table takes, less 1; low bits 0 for entries
                     of 16 bits
    encoded tensor   the codewords in running order, the first in the highest bits of each 32-bit
                     word, words stored with the highest byte first, and 8 bytes to read ahead into
    after the header tables of 16-bit entries, the first one first; see `chained_tables`

Codes: D. A. Huffman, A method for the construction of minimum-redundancy codes, Proc. IRE 40(9),
1952. With n weights and m different values O(n + m log m) time.
"""

import heapq
from collections import Counter
from collections.abc import Mapping

import numpy as np

from tfprune.export.encode.micro.chained_tables import code_tables
from tfprune.export.encode.micro.encoded_constant import HUFFMAN, Coded, coded

_READ_AHEAD_BYTES = 8


def counts_of(values: np.ndarray) -> Counter[int]:
    """Value of an int8 weight -> how often it comes."""
    symbols, counts = np.unique(values, return_counts=True)
    return Counter(dict(zip(symbols.tolist(), counts.tolist(), strict=True)))


def huffman(values: np.ndarray, counts: Mapping[int, int] | None = None) -> Coded:
    """Encodes a weight by Huffman codes of its values.

    Args:
        values: int8, any shape but an empty one.
        counts: Value -> how often it comes in all weights that share the codes, and so the
            ancillary tensor; None for codes of its own.

    Example:
        >>> huffman(np.array([0, 0, 0, 9], np.int8)).codes[:4]  # 0 0 0 1
        array([16,  0,  0,  0], dtype=uint8)
    """
    codes = canonical_codes(counts_of(values) if counts is None else counts)
    symbols, inverse = np.unique(values, return_inverse=True)
    first_bits, table = code_tables(codes)
    words, lengths = (np.array(each) for each in zip(*(codes[s] for s in symbols.tolist())))
    words, lengths = words[inverse.ravel()], lengths[inverse.ravel()]
    starts = np.cumsum(lengths) - lengths
    bits = np.zeros(-(-int(lengths.sum()) // 32) * 32, np.uint8)
    for place in range(int(lengths.max())):
        reaches = lengths > place
        bits[starts[reaches] + place] = words[reaches] >> (lengths[reaches] - 1 - place) & 1
    stored = np.concatenate([np.packbits(bits), np.zeros(_READ_AHEAD_BYTES, np.uint8)])
    return coded(HUFFMAN, bytes([first_bits - 1 << 4]), stored, table)


def canonical_codes(counts: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    """Symbol -> its code and the bits of it; codes of one length ascend with the symbols.

    Args:
        counts: Symbol -> how often it comes, at least one symbol.

    Example:
        >>> canonical_codes({0: 8, 5: 1, -5: 1})
        {0: (0, 1), -5: (2, 2), 5: (3, 2)}
    """
    lengths = dict.fromkeys(counts, 0 if len(counts) > 1 else 1)
    heap: list[tuple[int, int, tuple[int, ...]]] = [
        (count, place, (symbol,)) for place, (symbol, count) in enumerate(counts.items())
    ]
    heapq.heapify(heap)
    for place in range(len(heap), 2 * len(heap) - 1):
        (few, _, first), (more, _, second) = heapq.heappop(heap), heapq.heappop(heap)
        for symbol in first + second:
            lengths[symbol] += 1
        heapq.heappush(heap, (few + more, place, first + second))
    codes, code, previous = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in lengths.items()):
        code <<= length - previous
        codes[symbol] = (code, length)
        code, previous = code + 1, length
    return codes
