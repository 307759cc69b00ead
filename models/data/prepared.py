"""Prepared TFDS data sets: the folder that one is in, and which of its records are damaged."""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "tfds"
# Not `incomplete.<random>_<version>`, in which TFDS prepares a data set before it renames it.
_VERSION = "[0-9]*"
_LONGEST = 300  # characters of another library's message

Folder = str | os.PathLike[str]


def own_folder() -> Path:
    """Where TFDS prepares data sets if no folder is given."""
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def searched_folders() -> list[Path]:
    """Where data sets are looked for if no folder is given, in this order."""
    folders = [own_folder(), _SHARED]
    return folders if os.environ.get("TFDS_DATA_DIR") else folders[::-1]


def prepared_folder(name: str, data_dir: Folder | None, *, how: str | None = None) -> Path | None:
    """The folder that holds a prepared data set.

    Args:
        name: of the data set.
        data_dir: the folder, or one with a folder `tfds` of data sets; None to search
            `searched_folders()`.
        how: how to prepare the data set in `{folder}`, for the message; None: `tfds build`.

    Returns:
        The folder with `<name>/<version>` in it; None where `data_dir` is None and no searched
        folder has the data set.

    Raises:
        ValueError: if `data_dir` does not hold the data set.

    Example:
        >>> prepared_folder("mnist", "/nowhere")
        Traceback (most recent call last):
        ValueError: `data_dir` must hold the prepared data set 'mnist': no dataset_info.json in
        /nowhere/mnist/<version> or /nowhere/tfds/mnist/<version> (to make it there: tfds build
        mnist --data_dir=/nowhere). Received: data_dir='/nowhere'
    """
    if data_dir is None:
        found = (_holding(name, folder) for folder in searched_folders())
        return next((place for place in found if place), None)
    folder = Path(data_dir).expanduser()
    if place := _holding(name, folder):
        return place
    places = " or ".join(f"{place / name}/<version>" for place in _places(folder))
    begun = [path for place in _places(folder) for path in place.glob(f"{name}/incomplete.*")]
    broken_off = f", but {begun[0]}, which a preparation that broke off has left" if begun else ""
    how = (how or _how(name)).format(folder=folder)
    raise ValueError(
        f"`data_dir` must hold the prepared data set {name!r}: no dataset_info.json in "
        f"{places}{broken_off} (to make it there: {how}). Received: data_dir={str(data_dir)!r}"
    )


def failure(name: str, folder: Path | None, error: Exception) -> str:
    """One line that says why TFDS could not read a data set, or not prepare it.

    Args:
        name: of the data set.
        folder: what `prepared_folder` found.
        error: what TFDS raised.
    """
    import tensorflow as tf

    reason = in_one_line(error)
    if folder is not None:
        in_a_record = isinstance(error, tf.errors.OpError)
        record = damaged_record(folder / name) if in_a_record else None
        where = record or "version " + ", ".join(p.name for p in _versions(folder / name))
        return f"data set {name!r} in {folder / name} is damaged: {reason} ({where})"
    searched = " or ".join(map(str, searched_folders()))
    return (
        f"data set {name!r} is not prepared in {searched} and could not be downloaded: {reason} "
        f"(to try again: {_how(name).format(folder=own_folder())})"
    )


def in_one_line(error: Exception) -> str:
    """Type and message of another library's error, without the names of TensorFlow's operations.

    Example:
        >>> in_one_line(OSError("{{node X}} No such\\nfile [Op:X] name: "))
        'OSError: No such file'
    """
    text = re.sub(r"\[*\{\{.*?\}\}\]*|\[Op:\w+\] name:", "", str(error))
    return f"{type(error).__name__}: {' '.join(text.split())[:_LONGEST]}"


@contextlib.contextmanager
def naming_damage(name: str, data_dir: Folder | None = None) -> Iterator[None]:
    """Where a record turns out to be damaged while the block reads a data set, say which.

    Args:
        name: of the data set.
        data_dir: as given to `prepared_folder`.

    Raises:
        ValueError: with the file and the number of the record, instead of TensorFlow's error.
    """
    import tensorflow as tf

    try:
        yield
    except (
        tf.errors.DataLossError,
        tf.errors.FailedPreconditionError,  # fewer records than there should be
        tf.errors.InvalidArgumentError,  # a record that is whole, but is no example
        tf.errors.NotFoundError,
        UnicodeDecodeError,
    ) as error:
        folder = prepared_folder(name, data_dir)
        record = damaged_record(folder / name) if folder else None
        if record is None:  # the error came from something else
            raise
        raise ValueError(f"data set {name!r} is damaged: {record}") from error


def damaged_record(folder: Folder) -> str | None:
    """The first record that cannot be read in the TFRecord files of a prepared data set.

    Reads every example up to it, which takes a while where the data set is large: call this once
    reading has failed.

    Args:
        folder: of the data set, with `<version>/<file>.tfrecord-00000-of-00001`.

    Returns:
        File and number of the record, counted from 1, or the file that is missing; None if every
        record is whole.
    """
    import tensorflow as tf

    for version in _versions(Path(folder)):
        parse, records = _parser(version), _records(version)
        for file in sorted({*version.glob("*.tfrecord*"), *records}):
            if not file.exists():
                return f"{file} is missing"
            whole = 0
            examples = tf.data.TFRecordDataset(str(file)).map(parse)
            try:
                for whole, example in enumerate(examples.as_numpy_iterator(), start=1):
                    _require_text(example)
            except tf.errors.OpError:
                return f"{file}, record {whole + 1}"
            except UnicodeDecodeError:
                return f"{file}, record {whole}"
            if whole < records.get(file, 0):
                return f"{file}, record {whole + 1} of {records[file]} is missing"
    return None


def _places(folder: Path) -> list[Path]:
    return [folder, folder / "tfds"]


def _holding(name: str, folder: Path) -> Path | None:
    found = (p for p in _places(folder) if any(p.glob(f"{name}/{_VERSION}/dataset_info.json")))
    return next(found, None)


def _versions(folder: Path) -> list[Path]:
    return sorted(folder.glob(_VERSION))


def _how(name: str) -> str:
    return f"tfds build {name} --data_dir={{folder}}"


def _parser(version: Path) -> Callable[[Any], Any]:
    """Record -> example; its length only, where the file that says how to parse it is damaged."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    try:
        return tfds.features.FeatureConnector.from_config(str(version)).deserialize_example
    except Exception:  # TFDS raises a dozen unrelated types for I/O and format
        return lambda record: {"bytes": tf.strings.length(record)}


def _records(version: Path) -> dict[Path, int]:
    """File -> number of its records; none where the file that says so is damaged."""
    try:
        info = json.loads((version / "dataset_info.json").read_text(encoding="utf-8"))
        return {
            version / f"{info['name']}-{split['name']}.tfrecord-{shard:05}-of-{count:05}": int(size)
            for split in info["splits"]
            for count in [len(split["shardLengths"])]
            for shard, size in enumerate(split["shardLengths"])
        }
    except (OSError, KeyError, TypeError, ValueError):
        return {}


def _require_text(example: dict[str, Any]) -> None:
    """Raise UnicodeDecodeError for text of an example that is no UTF-8."""
    for value in example.values():
        if isinstance(value, bytes):
            value.decode()
