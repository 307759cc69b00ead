"""Data sets that have a name: the digits of scikit-learn, and those of TensorFlow Datasets."""

import difflib
import functools
import os
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

Answer = TypeVar("Answer")
Given = Iterable[object]  # examples with labels, as `tfprune.one_shot` takes them

LARGEST = 4 * 2**30  # bytes of examples that are held in memory


def digits() -> tuple[Given, Given | None]:
    """Return the 1,797 images of 8 x 8 pixels that are part of scikit-learn, in [0, 1]."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    x_train, x_test, y_train, y_test = train_test_split(
        (digits.images[..., np.newaxis] / 16.0).astype("float32"),
        digits.target.astype("int32"),
        test_size=360,
        stratify=digits.target,
        random_state=0,
    )
    return (x_train, y_train), (x_test, y_test)


def from_tfds(name: str, folder: str | None) -> tuple[Given, Given | None]:
    """Return the training and the test split of a classification data set, images in [0, 1].

    Args:
        name: that TensorFlow Datasets knows.
        folder: where it is prepared, or goes; None for the default.

    Raises:
        ValueError: if there is none, or it cannot be read.
    """
    import tensorflow_datasets as tfds

    folder = folder and os.path.expanduser(folder)
    inside = folder and os.path.join(folder, "tfds")
    if inside and os.path.isdir(inside):
        folder = inside
    builder = _asking_tfds(name, lambda: tfds.builder(name, data_dir=folder))
    if builder.info.dataset_size > LARGEST:
        raise ValueError(
            f"its {builder.info.dataset_size:,} bytes are too many to hold in memory: give a "
            "MODULE:FUNCTION that returns a part of them"
        )
    _asking_tfds(name, builder.download_and_prepare)
    splits = [split for split in ("train", "test", "validation") if split in builder.info.splits]
    if splits[:1] != ["train"]:
        raise ValueError(f"it must have a split 'train'. Received: {list(builder.info.splits)}")
    read = functools.partial(builder.as_dataset, batch_size=-1, as_supervised=True)
    found = [_asking_tfds(name, functools.partial(read, split=split)) for split in splits[:2]]
    train, *test = [(_scaled(np.asarray(x)), np.asarray(y)) for x, y in found]
    return train, test[0] if test else None


def _asking_tfds(name: str, ask: Callable[[], Answer]) -> Answer:
    """What TensorFlow Datasets answers; ValueError with its reason where it cannot."""
    import tensorflow_datasets as tfds

    try:
        return ask()
    except tfds.core.DatasetNotFoundError as error:
        known = ["digits", *tfds.list_builders(with_community_datasets=False)]
        near = difflib.get_close_matches(name, known, 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"no such data set is known to TensorFlow Datasets{hint}") from error
    except Exception as error:  # a dozen unrelated types for I/O, network and format
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"TensorFlow Datasets cannot read it: {reason}") from error


def _scaled(images: np.ndarray) -> np.ndarray:
    """Images of bytes as fractions; other inputs as they are."""
    return images.astype("float32") / np.float32(255) if images.dtype == np.uint8 else images
