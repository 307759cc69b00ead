"""The file in which `IterativeTaylor` keeps what the model does not: scores and counts."""

import os
import zipfile
import zlib

import numpy as np

from tfprune.channels.gradual.stepwise import Progress
from tfprune.support.files import replacing

_NOT_OURS = (KeyError, TypeError, ValueError, AttributeError)
_BROKEN = (OSError, EOFError, zipfile.BadZipFile, zlib.error)
_NUMBERS = ("updates", "asked", "batches")


def write_progress(
    path: str | os.PathLike[str], progress: Progress, sums: np.ndarray, batches: int
) -> None:
    """Write how far removal is, whole or not at all.

    Args:
        path: of the file.
        progress: after the last update.
        sums: of the squares since then, by root.
        batches: how many they are of.

    Raises:
        ValueError: if the file cannot be written.
    """
    with replacing(path, name="backup") as new, open(new, "wb") as file:
        np.savez(
            file,
            gone=progress.gone,
            scores=progress.scores,
            sums=sums,
            finished=progress.finished,
            updates=progress.updates,
            asked=progress.asked,
            batches=batches,
        )


def read_progress(path: str | os.PathLike[str], size: int) -> tuple[np.ndarray, int, Progress]:
    """Return sums, the number of their batches, and how far removal is.

    Args:
        path: of the file.
        size: number of roots of the model.

    Raises:
        ValueError: if the file is another one, or for another model.
    """
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("gone", "scores", "sums")}
            updates, asked, batches = (int(file[name]) for name in _NUMBERS)
            finished = bool(file["finished"])
    except (*_NOT_OURS, *_BROKEN) as error:
        raise ValueError(
            "`backup` must be a file that IterativeTaylor wrote. Received: "
            f"backup={os.fspath(path)!r} ({type(error).__name__}: {error})."
        ) from error
    if any(array.shape != (size,) for array in arrays.values()):
        raise ValueError(
            f"`backup` must be of this model, with {size} channels. Received: "
            f"backup={os.fspath(path)!r}, of a model with {arrays['gone'].size}."
        )
    progress = Progress(arrays["gone"].astype(bool), arrays["scores"], updates, asked, finished)
    return arrays["sums"], batches, progress
