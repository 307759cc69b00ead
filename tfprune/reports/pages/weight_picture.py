"""What a page shows of one weight: a histogram of its values and a picture of its mask."""

import dataclasses
import struct
import zlib

import numpy as np

_BINS = 49
_CELLS = 64  # of a picture, along each axis at most


@dataclasses.dataclass(frozen=True, eq=False)
class WeightPicture:
    """A weight in few numbers.

    Attributes:
        kept: counts of the kept values, in bins of equal width from -limit to limit.
        removed: counts of the removed values that are still stored under a mask.
        limit: largest magnitude.
        threshold: smallest magnitude that is kept; None if nothing is removed, or nothing kept.
        density: share of kept entries, 0 to 255, of at most 64 x 64 fields of the weight as a
            matrix of inputs (of all kinds) by outputs, the longer axis across.
    """

    kept: tuple[int, ...]
    removed: tuple[int, ...]
    limit: float
    threshold: float | None
    density: np.ndarray

    def png(self) -> bytes:
        """Return the mask as a grey PNG file, white where all entries are kept.

        Example:
            >>> pictured(np.ones((2, 3)), np.ones((2, 3), bool)).png()[1:4]
            b'PNG'
        """
        height, width = self.density.shape
        rows = b"".join(b"\0" + row.tobytes() for row in self.density)
        header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in parts
        )


def pictured(values: np.ndarray, kept: np.ndarray) -> WeightPicture:
    """Return a weight in few numbers.

    Args:
        values: stored ones, of any shape.
        kept: booleans of the same shape, True where the value is neither zero nor masked.

    Example:
        >>> picture = pictured(np.array([[0.0, -2.0], [0.5, 0.0]]), np.eye(2)[::-1] > 0)
        >>> picture.threshold, picture.limit, picture.density.tolist()
        (0.5, 2.0, [[0, 255], [255, 0]])
    """
    flat = np.asarray(values, np.float32).reshape(-1)
    chosen = np.asarray(kept).reshape(-1)
    staying, going = flat[chosen], flat[~chosen]
    going = going[going != 0]
    finite = flat[np.isfinite(flat)]
    limit = float(np.abs(finite).max()) if finite.size else 0.0
    span = (-limit, limit) if limit else (-1.0, 1.0)
    counts = [np.histogram(part, _BINS, span)[0].tolist() for part in (staying, going)]
    threshold = float(np.abs(staying).min()) if 0 < staying.size < flat.size else None
    return WeightPicture(
        tuple(counts[0]), tuple(counts[1]), limit, threshold, _density(np.asarray(kept))
    )


def _density(kept: np.ndarray) -> np.ndarray:
    matrix = kept.reshape(-1, kept.shape[-1]) if kept.ndim else kept.reshape(1, 1)
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    shares = matrix
    for axis in (0, 1):
        size = shares.shape[axis]
        starts = np.linspace(0, size, min(size, _CELLS), endpoint=False).astype(int)
        sizes = np.diff(starts, append=size)
        sums = np.add.reduceat(shares, starts, axis=axis, dtype=np.float32)
        shares = sums / (sizes if axis else sizes[:, None])
    return np.round(255 * shares).astype(np.uint8)
