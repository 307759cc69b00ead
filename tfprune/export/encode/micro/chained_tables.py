"""The tables by which a Huffman decoder turns bits into values, in the fewest entries.

A table of k bits has 2^k entries of 16 bits, one for each value of the next k bits:

    bit 15 set     a value: bits 0-7, of whose code bits 11-14 tell how many of the k it has
    bit 15 clear   the code goes on: bits 11-14 tell the bits of the next table, less 1, and bits
                   0-10 how many entries it begins after this one

One table for codes of up to L bits has 2^L entries; chained ones need at most two entries for each
inner node of the code's tree. In between the smallest is found exactly, node by node from the
leaves:  entries(node) = min over k of 2^k + the sum of entries over the inner nodes k bits below.
"""

from collections.abc import Mapping

import numpy as np

_FOUND = 0x8000
_COUNT_SHIFT = 11
_MOST_BITS = 15

# What is left of a code below some node of the tree: its bits, how many they are, and its symbol.
_Leaf = tuple[int, int, int]
_Tables = tuple[int, list[int]]  # the bits that the first table takes, and all entries


def code_tables(codes: Mapping[int, tuple[int, int]]) -> tuple[int, np.ndarray]:
    """Builds the tables of a prefix code.

    Args:
        codes: Symbol in [-128, 127] -> its code and the bits of it.

    Returns:
        The bits that the first table takes, and the entries of all tables, uint16.

    Example:
        >>> bits, table = code_tables({0: (0, 1), -5: (2, 2), 5: (3, 2)})
        >>> bits, [hex(entry) for entry in table.tolist()]
        (2, ['0x8800', '0x8800', '0x90fb', '0x9005'])
    """
    leaves = tuple((code, length, symbol) for symbol, (code, length) in codes.items())
    width, entries = _smallest(leaves, {})
    return width, np.array(entries, np.uint16)


def _smallest(leaves: tuple[_Leaf, ...], known: dict[tuple[_Leaf, ...], _Tables]) -> _Tables:
    """The fewest entries for a node of the tree; of several ways the one with the widest table."""
    if leaves not in known:
        deepest = min(max(length for _, length, _ in leaves), _MOST_BITS)
        ways = [(width, _of_width(leaves, width, known)) for width in range(deepest, 0, -1)]
        known[leaves] = min(ways, key=lambda way: len(way[1]))
    return known[leaves]


def _of_width(
    leaves: tuple[_Leaf, ...], width: int, known: dict[tuple[_Leaf, ...], _Tables]
) -> list[int]:
    """The entries for a node whose own table takes `width` bits."""
    entries = [0] * (1 << width)
    below: dict[int, list[_Leaf]] = {}
    for code, length, symbol in leaves:
        left = length - width
        if left > 0:
            below.setdefault(code >> left, []).append((code & (1 << left) - 1, left, symbol))
        else:
            first = code << -left
            found = _FOUND | length << _COUNT_SHIFT | symbol & 0xFF
            entries[first : first + (1 << -left)] = [found] * (1 << -left)
    for place, deeper in below.items():
        next_width, next_entries = _smallest(tuple(deeper), known)
        entries[place] = next_width - 1 << _COUNT_SHIFT | len(entries) - place
        entries += next_entries
    return entries
