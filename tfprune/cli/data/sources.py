"""Examples for `--data` and `--val`, whatever they are: files, folders, functions, named sets."""

import argparse
import dataclasses

import keras
import numpy as np

from tfprune.calibration.example_source import ExampleSource
from tfprune.calibration.examples import Examples
from tfprune.cli.commands.models import import_module
from tfprune.cli.data import image_folders, named_sets, tables
from tfprune.cli.data.named_sets import Given
from tfprune.support.tensors import Nest

_HELD_OUT = 0.2  # of the examples, where none are for tests
_PAIRS = (("x_train", "y_train"), ("x_test", "y_test"))


@dataclasses.dataclass(frozen=True)
class Data:
    """Examples in memory.

    Attributes:
        name: what the user calls them.
        train: examples to score weights on and to train on.
        test: examples to measure accuracy on.
        remarks: what was made of them, one sentence each.
        tests: what the user calls the examples for tests; None where they are part of the same.
    """

    name: str
    train: Examples
    test: Examples
    remarks: tuple[str, ...] = ()
    tests: str | None = None

    def sample(self, most: int) -> Examples:
        """Return at most this many of the training examples, the same at every call."""
        return ExampleSource(self.train, targets=False).take(most)

    @property
    def training(self) -> tuple[Nest, ...]:
        """The training examples as (x,), (x, y) or (x, y, sample_weight)."""
        parts = (self.train.x, self.train.y, self.train.sample_weight)
        if parts[2] is not None:
            return parts
        return parts[:1] if parts[1] is None else parts[:2]


@dataclasses.dataclass(frozen=True)
class Reading:
    """How examples are read.

    Attributes:
        model: that takes them; what is a table or a folder gets the shape of its input.
        folder: of TensorFlow Datasets; None for its own.
        label: column of a table with the labels; None for the last one.
        scale: number that images of a folder are multiplied by.
        labels: whether there must be labels.
    """

    model: keras.Model | None = None
    folder: str | None = None
    label: str | None = None
    scale: float = 1.0
    labels: bool = True


@dataclasses.dataclass(frozen=True)
class _Found:
    """Training and test examples (None if there are none), names of the classes, remarks."""

    train: Examples
    test: Examples | None
    classes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def of_command(args: argparse.Namespace, model: keras.Model, *, labels: bool = True) -> Data:
    """Return the examples that `--data` and `--val` name.

    Args:
        args: of the command, checked.
        model: that takes them.
        labels: whether there must be labels.

    Raises:
        ValueError: if there are none, or they cannot be read.
    """
    how = Reading(model, args.data_dir, args.label, args.scale, labels)
    return load(args.data, how, getattr(args, "val", None))


def load(
    source: tuple[str, str], how: Reading = Reading(), val: tuple[str, str] | None = None
) -> Data:
    """Return examples for training and for tests.

    Args:
        source: from `tfprune.cli.data_arguments.data_source`.
        how: how they are read.
        val: the same for tests; where it is None, what the source has for tests, else a fifth of
            its examples.

    Raises:
        ValueError: if there are none, or they cannot be read.

    Example:
        >>> load(("set", "digits")).test.count
        360
    """
    found = _read("--data", source, how)
    train, test, remarks = found.train, found.test, found.remarks
    if val is not None:
        other = _read("--val", val, how)
        test = _renumbered(other.test or other.train, other.classes, found.classes, val[1])
    elif test is None and train.y is None:
        test = train
    elif test is None:
        train, test = _hold_out(train)
        remarks += (f"{test.count:,} of its {found.train.count:,} examples are held out for tests",)
    return Data(source[1], train, test, remarks, None if val is None else val[1])


def _read(option: str, source: tuple[str, str], how: Reading) -> _Found:
    """What a source holds."""
    kind, name = source
    classes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    train: Given
    test: Given | None = None
    shape = getattr(how.model, "input_shape", None)
    try:
        if kind == "table":
            train, classes, remarks = tables.read(name, shape, label=how.label, labels=how.labels)
        elif kind == "folder":
            train, test, classes, remarks = image_folders.read(name, shape, scale=how.scale)
        elif kind == "file":
            train, test = _from_file(name, how.labels)
        elif kind == "function":
            train, test = _from_function(name, how.labels)
        elif name == "digits":
            train, test = named_sets.digits()
        else:
            train, test = named_sets.from_tfds(name, how.folder)
        inputs = len(getattr(how.model, "inputs", None) or [None])
        taken = [
            None if part is None else _taken(part, how.labels, inputs) for part in (train, test)
        ]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{option} {name}: {error}") from error
    assert taken[0] is not None
    return _Found(taken[0], taken[1], classes, remarks)


def _taken(part: Given, labels: bool, inputs: int) -> Examples:
    return ExampleSource(part, targets=labels, inputs=inputs).take(None)


def _renumbered(
    examples: Examples, own: tuple[str, ...], wanted: tuple[str, ...], name: str
) -> Examples:
    """Test examples with the class numbers that the training examples have."""
    if own == wanted or not isinstance(examples.y, np.ndarray):
        return examples
    unknown = sorted(set(own) - set(wanted))
    if unknown or not wanted:
        raise ValueError(
            f"--val {name}: its classes must be among those of --data, {', '.join(wanted)}. "
            f"Received: {', '.join(unknown)}"
        )
    numbers = np.array([wanted.index(each) for each in own], "int32")
    return dataclasses.replace(examples, y=numbers[examples.y])


def _hold_out(examples: Examples) -> tuple[Examples, Examples]:
    """A training and a test part, the same at every call."""
    order = np.random.default_rng(0).permutation(examples.count)
    held_out = max(1, round(_HELD_OUT * examples.count))
    return examples.take(np.sort(order[held_out:])), examples.take(np.sort(order[:held_out]))


def _from_file(path: str, labels: bool) -> tuple[Given, Given | None]:
    """What a .npz file holds for training, and for tests or None; or the inputs of a .npy file."""
    try:
        if path.endswith(".npy"):
            return (np.load(path, allow_pickle=False),), None
        with np.load(path, allow_pickle=False) as file:
            return _pairs({name: file[name] for name in file.files}, labels)
    except (EOFError, OSError) as error:
        raise ValueError(f"no NumPy file, or a truncated one: {error}") from error


def _pairs(arrays: dict[str, np.ndarray], labels: bool) -> tuple[Given, Given | None]:
    named = [tuple(arrays[name] for name in pair if name in arrays) for pair in _PAIRS]
    if set(arrays) == {"x", "y"}:
        return (arrays["x"], arrays["y"]), None
    if set(arrays) in ({"x"}, {"x_train"}) and not labels:
        return tuple(arrays.values()), None
    if len(named[0]) == 2 and len(named[1]) != 1:
        return named[0], named[1] or None
    raise ValueError(
        "the arrays must be x and y, or x_train and y_train, and x_test and y_test if there are "
        f"test examples{'' if labels else '; x alone will do here'}. "
        f"Received: {', '.join(arrays) or 'none'}"
    )


def _from_function(text: str, labels: bool) -> tuple[Given, Given | None]:
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
        return _pairs({name: value for name, value in members.items() if value is not None}, labels)
    pair = isinstance(found, tuple | list) and len(found) == 2
    if pair and not any(hasattr(part, "shape") or isinstance(part, dict) for part in found):
        return found[0], found[1]  # ((x, y), (x_test, y_test)), or two streams of batches
    return found, None
