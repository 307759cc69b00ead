"""Reading models from files named on the command line."""

import os
import re
import zipfile

import keras


def require_file(path: str, *endings: str) -> str:
    """Return the ending of `path` if it is a file with one of the `endings`.

    Args:
        path: name of a file.
        *endings: such as ".keras".

    Raises:
        ValueError: if there is no such file, or it has another ending.

    Example:
        >>> require_file("no such file.keras", ".keras")
        Traceback (most recent call last):
        ValueError: no such file: 'no such file.keras'
    """
    if os.path.isdir(path):
        raise ValueError(f"{path!r} is a directory, not a file")
    if not os.path.exists(path):
        raise ValueError(f"no such file: {path!r}")
    ending = os.path.splitext(path)[1]
    if ending not in endings:
        raise ValueError(f"the file must be a {' or '.join(endings)} file. Received: {path!r}")
    return ending


def load(path: str) -> keras.Model:
    """Return the Keras model, plain or pruned, in a `.keras` file.

    Args:
        path: name of the file.

    Raises:
        ValueError: if it is missing, truncated, foreign, or has classes that are not known here.
    """
    require_file(path, ".keras")
    _require_archive(path)
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # a foreign file can make the reader fail in any way
        raise ValueError(f"{path!r} cannot be loaded: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """The innermost message of an error of Keras's reader, without the config appended to it."""
    message = str(error).rpartition("Exception encountered: ")[2]
    return re.split(r"\s*(?:Full object config|config=)", message)[0] or type(error).__name__


def _require_archive(path: str) -> None:
    """Raise ValueError unless the file is a whole zip archive with Keras's members."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            members = set(archive.namelist())
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError) as error:
        raise ValueError(f"{path!r} is no .keras file, or a truncated one: {error}") from error
    if damaged is not None:
        raise ValueError(f"{path!r} is damaged: {damaged} in it fails its checksum")
    if not {"config.json", "metadata.json"} <= members:
        raise ValueError(f"{path!r} is no .keras file: it is a zip archive of something else")
