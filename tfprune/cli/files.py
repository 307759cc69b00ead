"""Files named on the command line: what they are, told from their first bytes and directories.

Nothing is unpacked and Keras is not needed, so that a wrong file is told at once.
"""

import os
import shlex
import stat
import zipfile
from collections.abc import Mapping

MODELS = (".keras", ".h5", ".hdf5")
_SIGNATURES = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x89HDF\r\n\x1a\n": "HDF5"}
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
# Keras stores members as they are; what others pack does not shrink by more than this.
_LARGEST_RATIO = 100
_ALWAYS_READ = 256 * 2**20  # bytes


def require_file(path: str, *endings: str) -> str:
    """Return the ending of `path` if it is a file with one of the `endings`.

    Args:
        path: name of a file.
        *endings: such as ".keras".

    Raises:
        ValueError: if there is no such file, it is no regular file, has another ending or is a
            Git LFS pointer.

    Example:
        >>> require_file("no such file.keras", ".keras")
        Traceback (most recent call last):
        ValueError: no such file: 'no such file.keras'
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise ValueError(f"no such file: {path!r}") from None
    except (OSError, ValueError) as error:  # a loop of links, a folder in between that is a file
        raise ValueError(f"{path!r} cannot be read: {error}") from error
    if stat.S_ISDIR(mode):
        raise ValueError(f"{path!r} is a directory, not a file{_saved_model(path)}")
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path!r} is not a regular file, but a pipe, a socket or a device")
    ending = os.path.splitext(path)[1]
    if ending not in endings:
        listed = " or ".join(filter(None, (", ".join(endings[:-1]), endings[-1])))
        raise ValueError(f"the file must be a {listed} file. Received: {path!r}")
    if _first_bytes(path).startswith(_LFS_POINTER):
        raise ValueError(
            f"{path!r} is a Git LFS pointer, not the file that it stands for; to fetch that: "
            f"git lfs pull --include {shlex.quote(os.path.basename(path))}"
        )
    return ending


def require_model(path: str) -> str:
    """Return the ending of `path` if it may hold a model that Keras loads.

    Args:
        path: name of a file.

    Raises:
        ValueError: if it does not, or unpacks to a size that no model has.
    """
    ending = require_file(path, *MODELS)
    kind = _SIGNATURES.get(_first_bytes(path)[:8]) or _SIGNATURES.get(_first_bytes(path)[:4])
    stem = os.path.splitext(path)[0]
    if ending == ".keras":
        if kind == "HDF5":
            raise ValueError(
                f"{path!r} is an HDF5 file, which Keras reads under another ending; to give it "
                f"that: cp {shlex.quote(path)} {shlex.quote(stem + '.h5')}"
            )
        _require_keras_archive(path)
    elif kind == "zip":
        raise ValueError(
            f"{path!r} is a zip archive, as .keras files are; to give it that ending: "
            f"cp {shlex.quote(path)} {shlex.quote(stem + '.keras')}"
        )
    return ending


def require_modest(path: str, unpacked: int) -> None:
    """Raise ValueError if a file says that it unpacks to a size that nothing useful has.

    Args:
        path: name of the file.
        unpacked: bytes of its contents, by its own directory.
    """
    size = os.path.getsize(path)
    if unpacked > max(_ALWAYS_READ, _LARGEST_RATIO * size):
        raise ValueError(
            f"{path!r} is not read: its {size:,} bytes would unpack to {unpacked:,}, more than "
            f"{_LARGEST_RATIO} times as many"
        )


def require_archive(path: str, kind: str) -> set[str]:
    """Return the names of the members of a zip archive, none of which is unpacked.

    Args:
        path: name of the file.
        kind: ending of such files, for the error.

    Raises:
        ValueError: if it is no zip archive, or unpacks to a size that nothing useful has.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError) as error:
        raise ValueError(f"{path!r} is no {kind} file, or a truncated one: {error}") from error
    require_modest(path, sum(member.file_size for member in members))
    return {member.filename for member in members}


def require_apart(
    written: Mapping[str, str | None],
    read: Mapping[str, str | None],
    replaced: tuple[str, str] | None = None,
) -> None:
    """Raise ValueError if a file to write is another one of the command, by any of its names.

    Args:
        written: option -> file that the command writes; None where it was not given.
        read: the same of files that it reads, which may be one file among themselves.
        replaced: an option to write and one to read that may be the same file.

    Raises:
        ValueError: naming the two options.

    Example:
        >>> require_apart({"--output": "b.keras", "--html": "./b.keras"}, {"MODEL": "a.keras"})
        Traceback (most recent call last):
        ValueError: `--html` must be another file than --output. Received: './b.keras' and ...
    """
    known = {option: path for option, path in read.items() if path is not None}
    for option, path in written.items():
        if path is None:
            continue
        for other, taken in known.items():
            if (option, other) != replaced and _is_same(path, taken):
                raise ValueError(
                    f"`{option}` must be another file than {other}. "
                    f"Received: {path!r} and {taken!r}"
                )
        known[option] = path


def _is_same(path: str, other: str) -> bool:
    if os.path.exists(path) and os.path.exists(other):
        return os.path.samefile(path, other)  # links, and names that differ in case alone
    return os.path.realpath(path) == os.path.realpath(other)


def names_class(path: str, name: str) -> bool:
    """Return whether the config of a model in a .keras file names a class; False for others.

    Args:
        path: of a file that is there.
        name: of the class.
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        known = "config.json" in archive.namelist()
        return known and f'"{name}"'.encode() in archive.read("config.json")


def _require_keras_archive(path: str) -> None:
    if not {"config.json", "metadata.json"} <= require_archive(path, ".keras"):
        raise ValueError(f"{path!r} is no .keras file: it is a zip archive of something else")


def _first_bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(len(_LFS_POINTER))


def _saved_model(path: str) -> str:
    """What to do with a folder that TensorFlow wrote; "" for another."""
    if not os.path.isfile(os.path.join(path, "saved_model.pb")):
        return ""
    folder = path.rstrip(os.sep)
    return (
        ": it holds a TensorFlow SavedModel, which Keras 3 does not load; to convert it, if "
        f"Keras 2 wrote it (pip install tf_keras): {keras_2_command(folder, folder + '.h5')}"
    )


def keras_2_command(path: str, new: str) -> str:
    """Return the command that reads a model with Keras 2 and writes it to an HDF5 file.

    Example:
        >>> print(keras_2_command("a.keras", "a.h5"))
        python -c "import sys, tf_keras; tf_keras.models.load_model(sys.argv[1],
        compile=False).save(sys.argv[2])" a.keras a.h5
    """
    code = "tf_keras.models.load_model(sys.argv[1], compile=False).save(sys.argv[2])"
    return f'python -c "import sys, tf_keras; {code}" {shlex.quote(path)} {shlex.quote(new)}'
