"""Writing a file whole or not at all."""

import contextlib
import errno
import os
import secrets
import signal
import stat
import threading
from collections.abc import Iterator
from types import FrameType

from tfprune.support.path_argument import require_path

_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, name: str = "path") -> Iterator[str]:
    """Yield a new, empty file that takes the place of `path` if the block succeeds.

    Whatever goes wrong, an older file at `path` stays and nothing else is left behind, even where
    the process is asked to end (SIGTERM). A file that takes the place of another has its mode and,
    if that may be given away, its owner; where `path` is a link, the file that it leads to is
    replaced.

    Args:
        path: file to write, in a directory that exists.
        name: what error messages call `path`.

    Yields:
        Path of the new file, in the same directory and with the same ending.

    Raises:
        TypeError: if `path` is no path.
        ValueError: if the file cannot be written, or must not: it is read-only, or no regular file;
            or if the disk is full. Nothing has been changed then.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     with replacing(f"{directory}/a.txt") as new, open(new, "w") as file:
        ...         _ = file.write("text")
        ...     os.listdir(directory)
        ['a.txt']
    """
    require_path(name, path)
    with _ended_in_order():
        try:
            destination = _destination(path)
            old = _replaceable(destination)
            directory, base = os.path.split(destination)
            temporary = os.path.join(directory, f".{secrets.token_hex(4)}.{base}")
            with open(temporary, "xb"):
                pass
        except OSError as error:
            raise ValueError(
                f"`{name}` must be writable. "
                f"Received: {name}={os.fspath(path)!r} ({error.strerror})."
            ) from error
        try:
            yield temporary
            if old is not None:
                os.chmod(temporary, stat.S_IMODE(old.st_mode))
                with contextlib.suppress(PermissionError, AttributeError):
                    os.chown(temporary, old.st_uid, old.st_gid)
            os.replace(temporary, destination)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise ValueError(
                f"`{name}` must be on a disk with room for the file. "
                f"Received: {name}={os.fspath(path)!r} ({error.strerror})."
            ) from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(temporary)


def require_writable(path: str | os.PathLike[str], *, name: str = "path") -> None:
    """Raise ValueError now if `replacing(path)` would; for a check before long work.

    Args:
        path: file that will be written later.
        name: what the error message calls `path`.

    Raises:
        ValueError: if the file cannot be written.

    Example:
        >>> require_writable("no such directory/model.tflite")
        Traceback (most recent call last):
        ValueError: `path` must be writable. Received: ...
    """
    with contextlib.suppress(_OnlyAsked), replacing(path, name=name):
        raise _OnlyAsked


class _OnlyAsked(Exception):
    """Leaves `replacing` before the file takes its place."""


class _Terminated(BaseException):
    """SIGTERM came."""


def _destination(path: str | os.PathLike[str]) -> str:
    """The file that a path leads to; OSError for links in a circle."""
    try:
        return os.path.realpath(path, strict=True)
    except FileNotFoundError:
        return os.path.realpath(path)


def _replaceable(destination: str) -> os.stat_result | None:
    """What is known of the file to replace, None where there is none; OSError if it must stay."""
    try:
        old = os.stat(destination)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(old.st_mode):
        # Among others a device, which a file must not replace.
        raise OSError(0, "it is not a regular file")
    if not old.st_mode & _WRITABLE or not os.access(destination, os.W_OK):
        raise OSError(0, "it is read-only")
    return old


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let SIGTERM unwind the block like an exception before it ends the process.

    Programs that handle SIGTERM themselves, and threads other than the main one, are left alone.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def unwind(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    signal.signal(signal.SIGTERM, unwind)
    ended = False
    try:
        yield
    except _Terminated:
        ended = True
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if ended:
            signal.raise_signal(signal.SIGTERM)
