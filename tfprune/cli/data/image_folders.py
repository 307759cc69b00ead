"""Examples in a folder of images: a folder for each class, as Keras reads them."""

import math
import os

import keras
import numpy as np

from tfprune.cli.data import class_names
from tfprune.cli.data.named_sets import LARGEST, Given

_COLORS = {1: "grayscale", 3: "rgb", 4: "rgba"}
_TRAIN, _TESTS = "train", ("test", "val", "validation", "valid")
_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")  # those that Keras reads


def read(
    path: str, shape: object, *, scale: float = 1.0
) -> tuple[Given, Given | None, tuple[str, ...], tuple[str, ...]]:
    """Read images with `keras.utils.image_dataset_from_directory`.

    Args:
        path: folder of a folder for each class; or of "train" and "test" (or "val"), each of which
            is one of those.
        shape: of the model's input, (None, height, width, channels), which images are resized to.
        scale: number that values, 0 to 255 as Keras gives them, are multiplied by.

    Returns:
        (x, y) for training, the same for tests or None, names of the classes in the order of their
        numbers, and remarks.

    Raises:
        ValueError: if the model takes no images, or there are none of two classes.
    """
    height, width, channels = _image_shape(shape)
    folders = sorted(entry.name for entry in os.scandir(path) if entry.is_dir())
    tests = [name for name in _TESTS if name in folders]
    split = _TRAIN in folders and bool(tests) and set(folders) <= {_TRAIN, *_TESTS}
    roots = [os.path.join(path, name) for name in (_TRAIN, tests[0])] if split else [path]
    found = [_read(root, (height, width), channels, scale) for root in roots]
    classes = found[0][1]
    if any(names != classes for _, names in found):
        raise ValueError(
            f"{_TRAIN} and {tests[0]} must have the same classes. Received: {', '.join(classes)} "
            f"and {', '.join(found[1][1])}"
        )
    remark = (
        f"images of {height} x {width} pixels with values from 0 to {255 * scale:g}, classes "
        f"{class_names.in_words(classes)}"
    )
    return found[0][0], found[1][0] if split else None, classes, (remark,)


def _image_shape(shape: object) -> tuple[int, int, int]:
    """Height, width and channels of a model's input."""
    if isinstance(shape, tuple) and len(shape) == 4 and None not in shape[1:]:
        if shape[3] in _COLORS:
            return shape[1], shape[2], shape[3]
    raise ValueError(
        "a folder of images is for models with one input of shape (height, width, channels), all "
        "known and channels 1, 3 or 4; for others, give MODULE:FUNCTION. Received: a model for "
        f"inputs of shape {shape}"
    )


def _read(
    path: str, size: tuple[int, int], channels: int, scale: float
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[str, ...]]:
    counts = {
        entry.name: sum(
            name.lower().endswith(_ENDINGS) for *_, names in os.walk(entry.path) for name in names
        )
        for entry in os.scandir(path)
        if entry.is_dir() and not entry.name.startswith(".")
    }
    if len(counts) < 2 or not all(counts.values()):
        listed = ", ".join(f"{name} ({count} images)" for name, count in sorted(counts.items()))
        raise ValueError(
            f"it must hold a folder of images ({', '.join(_ENDINGS)}) for each of two classes or "
            f"more. Received: {listed or 'no folder'}"
        )
    needed = 4 * math.prod(size) * channels * sum(counts.values())
    if needed > LARGEST:
        raise ValueError(
            f"its images take {needed:,} bytes in memory, which is too many: give MODULE:FUNCTION "
            "that returns a part of them"
        )
    batches = keras.utils.image_dataset_from_directory(
        path,
        label_mode="int",
        color_mode=_COLORS[channels],
        image_size=size,
        shuffle=False,
        verbose=False,
    )
    try:
        parts = [(np.asarray(x) * np.float32(scale), np.asarray(y)) for x, y in batches]
    except Exception as error:  # the reader's own types for a damaged image
        reason = str(error).splitlines()[0][:200]
        raise ValueError(f"an image cannot be read: {reason}") from error
    x, y = (np.concatenate(arrays) for arrays in zip(*parts))
    return (x, y), tuple(batches.class_names)
