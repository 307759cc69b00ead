"""Data sets by name: scikit-learn's digits; MNIST, Fashion-MNIST and CIFAR-10 through TFDS."""

import dataclasses
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

_SHARED_TFDS = Path(__file__).resolve().parents[2] / "shared" / "data" / "tfds"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images in [0, 1] as float32 of (n, height, width, channels), labels as int32 of (n,)."""

    name: str
    classes: int
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def names() -> list[str]:
    """The names that `load` takes.

    Example:
        >>> names()
        ['cifar10', 'digits', 'fashion_mnist', 'mnist']
    """
    return sorted(_LOADERS)


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Load a data set, split into training and test examples.

    Args:
        name: one of `names()`.
        data_dir: folder with prepared TFDS data sets (it holds `fashion_mnist/<version>`).
            None: the folder named by TFDS_DATA_DIR, else `../shared/data/tfds` beside the
            checkout, whichever is set and has the data set; else TFDS's own folder, downloading
            into it where needed. "digits" is embedded in scikit-learn and uses no folder.

    Returns:
        The `Dataset`; the same arrays in the same order at every call.

    Raises:
        ValueError: for an unknown name, or a data set that is missing or damaged.

    Example:
        >>> load("digits").x_train.shape
        (1437, 8, 8, 1)
    """
    if name not in _LOADERS:
        raise ValueError(f"`name` must be one of {', '.join(names())}. Received: name={name!r}")
    return _LOADERS[name](data_dir)


def _load_digits(data_dir: str | os.PathLike[str] | None) -> Dataset:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = (digits.images[..., np.newaxis] / 16.0).astype("float32")
    labels = digits.target.astype("int32")
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels, test_size=360, stratify=labels, random_state=0
    )
    return Dataset("digits", 10, x_train, y_train, x_test, y_test)


def _load_images(name: str, data_dir: str | os.PathLike[str] | None) -> Dataset:
    (x_train, y_train), (x_test, y_test) = _load_tfds(name, data_dir)
    return Dataset(name, 10, x_train, y_train, x_test, y_test)


_LOADERS: dict[str, Callable[[str | os.PathLike[str] | None], Dataset]] = {
    "cifar10": partial(_load_images, "cifar10"),
    "digits": _load_digits,
    "fashion_mnist": partial(_load_images, "fashion_mnist"),
    "mnist": partial(_load_images, "mnist"),
}


def _load_tfds(
    name: str, data_dir: str | os.PathLike[str] | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(images, labels) of the train and the test split of a TFDS image classification set."""
    folder = prepared_folder(name, data_dir)
    import tensorflow_datasets as tfds

    try:
        splits = tfds.load(
            name,
            data_dir=folder,
            split=["train", "test"],
            batch_size=-1,
            as_supervised=True,
            download=folder is None,
        )
    except Exception as error:  # TFDS raises a dozen unrelated types for I/O, network and format
        reason = " ".join(re.sub(r"\{\{.*?\}\}", "", str(error)).split())[:200]
        if folder is None:
            searched = " or ".join(map(str, searched_folders()))
            what = f"is not prepared in {searched} and could not be downloaded"
        else:
            what = f"in {folder / name} is damaged"
            if record := damaged_record(folder / name):
                reason = f"{reason} ({record})"
        raise ValueError(f"data set {name!r} {what}: {type(error).__name__}: {reason}") from error
    return [
        (np.asarray(images, "float32") / np.float32(255), np.asarray(labels, "int32"))
        for images, labels in splits
    ]


def prepared_folder(
    name: str, data_dir: str | os.PathLike[str] | None, *, how: str | None = None
) -> Path | None:
    """The folder that holds a prepared TFDS data set.

    Args:
        name: of the data set.
        data_dir: the folder; None to search as `load` does.
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
        /nowhere/mnist/<version> (to make it there: tfds build mnist --data_dir=/nowhere).
        Received: data_dir='/nowhere'
    """
    if data_dir is None:
        return next((folder for folder in searched_folders() if _is_prepared(name, folder)), None)
    folder = Path(data_dir).expanduser()
    if _is_prepared(name, folder):
        return folder
    how = (how or f"tfds build {name} --data_dir={{folder}}").format(folder=folder)
    raise ValueError(
        f"`data_dir` must hold the prepared data set {name!r}: no dataset_info.json in "
        f"{folder / name}/<version> (to make it there: {how}). "
        f"Received: data_dir={str(data_dir)!r}"
    )


def searched_folders() -> list[Path]:
    """Where TFDS data sets are looked for if no folder is given, in this order."""
    named = os.environ.get("TFDS_DATA_DIR")
    return [*([Path(named).expanduser()] if named else []), _SHARED_TFDS]


def _is_prepared(name: str, folder: Path) -> bool:
    return any(folder.glob(f"{name}/*/dataset_info.json"))


def damaged_record(folder: str | os.PathLike[str]) -> str | None:
    """The first record that cannot be read in the TFRecord files of a prepared data set.

    Reads every file up to it, which takes a while where the data set is large: call this once
    reading has failed.

    Args:
        folder: of the data set, with `<version>/<file>.tfrecord-00000-of-00001`.

    Returns:
        File and number of the record, counted from 1; None if every record is whole.
    """
    import tensorflow as tf

    for file in sorted(Path(folder).glob("*/*.tfrecord*")):
        whole = 0
        try:
            for whole, _ in enumerate(tf.data.TFRecordDataset(str(file)), start=1):
                pass
        except tf.errors.OpError:
            return f"{file}, record {whole + 1}"
    return None
