"""Where the checkout is, where results go, and folders that others write in too."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tfprune.support.files import require_writable

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "scripts" / "results"  # committed
SHARED = ROOT.parent / "shared" / "data"  # data beside the checkout, where there is any


def require_place(path: Path, *, name: str) -> None:
    """Raise ValueError now if a file could not be written, its folders made if need be.

    Args:
        path: file that will be written later; nothing is made now.
        name: what the error message calls it.
    """
    missing = [part for part in (path, *path.parents) if not os.path.lexists(part)]
    first = missing[-1] if missing else path
    if not os.path.isdir(first.parent):
        raise ValueError(
            f"`{name}` must be in a writable folder. Received: {path} ({first.parent} is none)"
        )
    require_writable(first, name=name)


def make_folder_of(path: Path, *, name: str) -> None:
    """Make the folder of a file that is to be written; ValueError if that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"`{name}` must be in a writable folder. Received: {path} ({error.strerror})"
        ) from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time into the block, where the system can lock a folder."""
    with contextlib.ExitStack() as stack:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # some network drives lock no folders
                opened = os.open(folder, os.O_RDONLY)
                stack.callback(os.close, opened)
                fcntl.flock(opened, fcntl.LOCK_EX)
        yield
