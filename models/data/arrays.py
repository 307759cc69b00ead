"""Data sets by name: scikit-learn's digits; MNIST, Fashion-MNIST and CIFAR-10 through TFDS."""

import dataclasses
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.data import npz_file
from models.data.prepared import failure, own_folder, prepared_folder


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
        data_dir: folder with prepared TFDS data sets (it holds `fashion_mnist/<version>`), or with
            a folder `tfds` of them, or with a file `<name>.npz` of x_train, y_train, x_test and
            y_test (images of bytes), as Keras keeps MNIST: that one needs neither TFDS nor
            TensorFlow. None: the folder named by TFDS_DATA_DIR, then
            `../shared/data/tfds` beside the checkout, then TFDS's own folder, whichever has the
            data set; else it is downloaded into TFDS's folder. "digits" is embedded in
            scikit-learn and uses no folder.

    Returns:
        The `Dataset`; the same arrays in the same order at every call.

    Raises:
        ValueError: for an unknown name, or a data set that is missing or damaged.

    Example:
        >>> load("digits").x_train.shape
        (1437, 8, 8, 1)
    """
    if name not in names():
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
    file = None if data_dir is None else Path(data_dir).expanduser() / f"{name}.npz"
    splits = _load_file(file) if file and file.is_file() else _load_tfds(name, data_dir)
    (x_train, y_train), (x_test, y_test) = (
        (np.asarray(images, "float32") / np.float32(255), np.asarray(labels, "int32"))
        for images, labels in splits
    )
    return Dataset(name, 10, x_train, y_train, x_test, y_test)


def _load_file(file: Path) -> list[tuple[Any, Any]]:
    """(images, labels) of both splits of an .npz file."""
    try:
        arrays = npz_file.read(file)
        splits = [(arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in ("train", "test")]
    except (KeyError, *npz_file.UNREADABLE) as error:
        raise ValueError(
            f"{file} must hold x_train, y_train, x_test and y_test ({error})"
        ) from error
    for images, labels in splits:
        if images.dtype != np.uint8 or images.ndim != 4 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"{file} must hold images of bytes, (n, height, width, channels), and a label for "
                f"each. Received: {images.dtype} {images.shape} and labels {labels.shape}"
            )
    return splits


_LOADERS: dict[str, Callable[[str | os.PathLike[str] | None], Dataset]] = {
    "cifar10": partial(_load_images, "cifar10"),
    "digits": _load_digits,
    "fashion_mnist": partial(_load_images, "fashion_mnist"),
    "mnist": partial(_load_images, "mnist"),
}


def _load_tfds(name: str, data_dir: str | os.PathLike[str] | None) -> list[tuple[Any, Any]]:
    """(images, labels) of the train and the test split of a TFDS image classification set."""
    folder = prepared_folder(name, data_dir)
    import tensorflow_datasets as tfds

    try:
        splits = tfds.load(
            name,
            data_dir=folder or own_folder(),
            split=["train", "test"],
            batch_size=-1,
            as_supervised=True,
            download=folder is None,
        )
    except Exception as error:  # TFDS raises a dozen unrelated types for I/O, network and format
        raise ValueError(failure(name, folder, error)) from error
    return splits
