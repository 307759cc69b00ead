"""What TFLM_DECODE reads: codes, and beside them a second tensor that says how to expand them.

That second, "ancillary" tensor begins with 16 bytes:

    byte 0      kind: 0 lookup table, 1 Huffman, 2 bit mask
    byte 1      version of these 16 bytes, 1
    bytes 2-3   0
    byte 4      version of the kind, 1
    bytes 5-15  as the kind says, else 0

What follows them depends on the kind; each has a module here that says what.
"""

import dataclasses

import numpy as np

HEADER_BYTES = 16
LOOKUP, HUFFMAN, BIT_MASK = 0, 1, 2
NAMES = {LOOKUP: "lookup table", HUFFMAN: "Huffman", BIT_MASK: "bit mask"}

_ALIGNMENT = 16  # of every buffer in a file


@dataclasses.dataclass(frozen=True, eq=False)
class Coded:
    """A constant in one encoding.

    Attributes:
        kind: `LOOKUP`, `HUFFMAN` or `BIT_MASK`.
        codes: uint8, the encoded tensor.
        ancillary: uint8, the header and what follows it.
    """

    kind: int
    codes: np.ndarray
    ancillary: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of both tensors, tables and header included, as they lie in a file."""
        return aligned(self.codes) + aligned(self.ancillary)


def aligned(part: np.ndarray) -> int:
    """Bytes of a tensor as it lies in a file."""
    return -(-part.nbytes // _ALIGNMENT) * _ALIGNMENT


def coded(kind: int, parameters: bytes, codes: np.ndarray, table: np.ndarray) -> Coded:
    """Puts a header before the table of an encoding.

    Args:
        kind: `LOOKUP`, `HUFFMAN` or `BIT_MASK`.
        parameters: bytes 5 and following of the header, at most 11.
        codes: uint8, the encoded tensor.
        table: what follows the header, of any type.
    """
    header = (bytes([kind, 1, 0, 0, 1]) + parameters).ljust(HEADER_BYTES, b"\0")
    return Coded(kind, codes, np.frombuffer(header + table.tobytes(), np.uint8))


def as_bits(values: np.ndarray) -> np.ndarray:
    """The values as flat integers of the same bits, by which -0.0 is no zero."""
    flat = np.ascontiguousarray(values).ravel()
    return flat.view(np.dtype(f"i{flat.dtype.itemsize}"))
