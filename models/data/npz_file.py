"""Arrays of an .npz file, read whole."""

import os
import zipfile
import zlib

import numpy as np

UNREADABLE = (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return name -> array.

    Args:
        path: the file.

    Raises:
        Exception: one of `UNREADABLE`, if there is no such file or it is damaged.
    """
    # np.load itself would leave a damaged file open.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
        return dict(content)
