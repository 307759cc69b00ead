"""Examples for `tfprune prune --data`: from a file, a function of the user or a named data set."""

import dataclasses
import difflib
import functools
import os
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from tfprune.calibration.examples import Examples, ExampleSource
from tfprune.cli.commands.models import import_module
from tfprune.support.tensors import Nest

Answer = TypeVar("Answer")
Given = Iterable[object]  # examples with labels, as `tfprune.one_shot` takes them

_HELD_OUT = 0.2  # of the examples, where none are for tests
_PAIRS = (("x_train", "y_train"), ("x_test", "y_test"))
_LARGEST = 4 * 2**30  # bytes of a named data set as it is stored


@dataclasses.dataclass(frozen=True)
class Data:
    """Examples with labels, in memory.

    Attributes:
        name: what the user calls them.
        train: examples to score weights on and to train on.
        test: examples to measure accuracy on.
    """

    name: str
    train: Examples
    test: Examples

    @property
    def training(self) -> tuple[Nest, ...]:
        """The training examples as (x, y) or (x, y, sample_weight)."""
        parts = (self.train.x, self.train.y, self.train.sample_weight)
        return parts if parts[2] is not None else parts[:2]


def load(source: tuple[str, str], folder: str | None) -> Data:
    """Return the examples that `--data` names.

    Args:
        source: from `tfprune.cli.arguments.data_source`.
        folder: of TensorFlow Datasets; None for its own.

    Raises:
        ValueError: if there are none, or they cannot be read.

    Example:
        >>> load(("set", "digits"), None).test.count
        360
    """
    kind, name = source
    try:
        if kind == "file":
            found = _from_file(name)
        elif kind == "function":
            found = _from_function(name)
        else:
            found = _digits() if name == "digits" else _from_tfds(name, folder)
        train = ExampleSource(found[0]).take(None)
        test = None if found[1] is None else ExampleSource(found[1]).take(None)
    except (TypeError, ValueError) as error:
        raise ValueError(f"--data {name}: {error}") from error
    if test is None:
        train, test = _hold_out(train)
    return Data(name, train, test)


def _hold_out(examples: Examples) -> tuple[Examples, Examples]:
    """A training and a test part, the same at every call."""
    order = np.random.default_rng(0).permutation(examples.count)
    held_out = max(1, round(_HELD_OUT * examples.count))
    return examples.take(np.sort(order[held_out:])), examples.take(np.sort(order[:held_out]))


def _from_file(path: str) -> tuple[Given, Given | None]:
    """What a .npz file holds for training, and for tests or None."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return _pairs({name: file[name] for name in file.files})
    except (EOFError, OSError) as error:
        raise ValueError(f"no .npz file, or a truncated one: {error}") from error


def _pairs(arrays: dict[str, np.ndarray]) -> tuple[Given, Given | None]:
    named = [tuple(arrays[name] for name in pair if name in arrays) for pair in _PAIRS]
    if set(arrays) == {"x", "y"}:
        return (arrays["x"], arrays["y"]), None
    if len(named[0]) == 2 and len(named[1]) != 1:
        return named[0], named[1] or None
    raise ValueError(
        "the arrays must be x and y, or x_train and y_train, and x_test and y_test if there are "
        f"test examples. Received: {', '.join(arrays) or 'none'}"
    )


def _from_function(text: str) -> tuple[Given, Given | None]:
    """What a function of the user returns for training, and for tests or None."""
    name, _, function = text.partition(":")
    make = getattr(import_module(name), function, None)
    if not callable(make):
        raise ValueError(f"{name!r} must have a function {function!r}")
    try:
        found = make()
    except Exception as error:  # whatever the function does
        raise ValueError(f"it fails: {type(error).__name__}: {error}") from error
    if hasattr(found, "x_train"):
        members = {name: getattr(found, name) for pair in _PAIRS for name in pair}
        return _pairs({name: value for name, value in members.items() if value is not None})
    pair = isinstance(found, tuple | list) and len(found) == 2
    if pair and not any(hasattr(part, "shape") or isinstance(part, dict) for part in found):
        return found[0], found[1]  # ((x, y), (x_test, y_test)), or two streams of batches
    return found, None


def _digits() -> tuple[Given, Given | None]:
    """The 1,797 images of 8 x 8 pixels that are part of scikit-learn."""
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


def _from_tfds(name: str, folder: str | None) -> tuple[Given, Given | None]:
    """The training and the test split of a classification data set."""
    import tensorflow_datasets as tfds

    folder = folder and os.path.expanduser(folder)
    inside = folder and os.path.join(folder, "tfds")
    if inside and os.path.isdir(inside):
        folder = inside
    builder = _asking_tfds(name, lambda: tfds.builder(name, data_dir=folder))
    if builder.info.dataset_size > _LARGEST:
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
        raise ValueError(
            f"TensorFlow Datasets cannot read it: {type(error).__name__}: {reason}"
        ) from error


def _scaled(images: np.ndarray) -> np.ndarray:
    """Images of bytes as fractions; other inputs as they are."""
    return images.astype("float32") / np.float32(255) if images.dtype == np.uint8 else images
