"""Checks of paths; what needs no more of the package, nor NumPy, takes them from here."""

import os


def require_path(name: str, value: object) -> str:
    """Return `value` as a text when it can name a file: a text or a `os.PathLike` of one.

    Example:
        >>> require_path("path", 3)
        Traceback (most recent call last):
        TypeError: `path` must be a path, a text or an os.PathLike. Received: path=3 (of type int).
    """
    found = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(found, str):
        raise TypeError(
            f"`{name}` must be a path, a text or an os.PathLike. "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
    if not found or "\0" in found:
        raise ValueError(f"`{name}` must be able to name a file. Received: {name}={value!r}.")
    return found
