"""Writing a file whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, name: str = "path") -> Iterator[str]:
    """Yield a new, empty file that takes the place of `path` if the block succeeds.

    Whatever goes wrong, an older file at `path` stays and nothing else is left behind.

    Args:
        path: file to write, in a directory that exists.
        name: what error messages call `path`.

    Yields:
        Path of the new file, in the same directory and with the same ending.

    Raises:
        ValueError: if the file cannot be written; nothing has been changed then.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     with replacing(f"{directory}/a.txt") as new, open(new, "w") as file:
        ...         _ = file.write("text")
        ...     os.listdir(directory)
        ['a.txt']
    """
    target = os.path.realpath(path)
    directory, base = os.path.split(target)
    temporary = os.path.join(directory, f".{secrets.token_hex(4)}.{base}")
    try:
        if os.path.exists(target) and not os.path.isfile(target):
            # Among others a device, which a file must not replace.
            raise OSError(0, "it is not a regular file")
        with open(temporary, "xb"):
            pass
    except OSError as error:
        raise ValueError(
            f"`{name}` must be writable. Received: {name}={os.fspath(path)!r} ({error.strerror})."
        ) from error
    try:
        yield temporary
        os.replace(temporary, target)
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
