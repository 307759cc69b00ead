"""Arrays on disk, for which there is room."""

import math
import mmap
import os
import tempfile
from typing import IO

import numpy as np


def disk_array(shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
    """Return an array of zeros in a temporary file, which is gone when the array is.

    Its room on the disk is taken at once: in a file with holes, a disk that fills up later kills
    the process (SIGBUS) when an entry is set. The folder is that of Python's `tempfile`; the
    environment variable TMPDIR chooses it.

    Args:
        shape: of the array.
        dtype: of the array.

    Raises:
        OSError: if there is no room, with the name of the folder.

    Example:
        >>> disk_array((2, 3), np.float32).sum().item()
        0.0
    """
    size = max(1, math.prod(shape) * np.dtype(dtype).itemsize)
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file, size)
            return np.memmap(file, dtype, "w+", shape=shape)
    except OSError as error:
        raise OSError(error.errno, error.strerror, folder) from error


def release(array: np.ndarray) -> None:
    """Let what was read or written of a disk array go from memory; nothing for other arrays.

    The file keeps it, and reading brings it back.

    Args:
        array: one of `disk_array`, or a view of it.

    Example:
        >>> array = disk_array((2, 3), np.float32)
        >>> array[:] = 1.0
        >>> release(array)
        >>> array.sum().item()
        6.0
    """
    held: object = array
    while isinstance(held, np.ndarray):
        held = held.base
    if isinstance(held, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        held.madvise(mmap.MADV_DONTNEED)


def _reserve(file: IO[bytes], size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(0, size, 1 << 20):
        file.write(bytes(min(1 << 20, size - start)))
    file.flush()
