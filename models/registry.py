"""The reference models by name."""

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import keras

from models.images import all_convolutional, classic, digits, imagenet, residual, resnet
from models.language import lstm
from models.translation import encoder_decoder


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A builder, with the arguments that the name sets and those it only has other defaults for."""

    builder: Callable[..., keras.Model]
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _published_lstm(size: str) -> _Entry:
    preset = lstm.PRESETS[size]
    taken = ("steps", "dropout", "init_scale", "batch_size")
    return _Entry(
        lstm.lstm_language_model,
        {"units": preset.units},
        {name: getattr(preset, name) for name in taken},
    )


_ENTRIES = {
    "alexnet": _Entry(classic.alexnet),
    "all-cnn-c": _Entry(all_convolutional.all_cnn_c),
    "digits-cnn": _Entry(digits.digits_cnn),
    "inception-v3": _Entry(imagenet.inception_v3),
    "lenet-300-100": _Entry(classic.lenet_300_100),
    "lenet-5": _Entry(classic.lenet_5),
    "nin": _Entry(all_convolutional.network_in_network),
    "resnet-50": _Entry(imagenet.resnet_50),
    "small-resnet": _Entry(residual.small_resnet),
    "vgg-16": _Entry(classic.vgg_16),
    **{f"resnet{n}": _Entry(resnet.small_image_resnet, {"depth": n}) for n in (20, 32, 56)},
    **{f"lstm-{size}": _published_lstm(size) for size in lstm.PRESETS},
}

# Families whose names end in a number: any number goes, and `names` lists the usual ones.
_FAMILIES: dict[str, tuple[str, Callable[[str], _Entry], tuple[str, ...]]] = {
    "mobilenet-v1-<width>": (
        r"mobilenet-v1-(\d+(?:\.\d+)?)",
        lambda number: _Entry(imagenet.mobilenet_v1, {"width": float(number)}),
        ("0.25", "0.5", "0.75", "1.0"),
    ),
    "resnet20-<width>": (
        r"resnet20-(\d+(?:\.\d+)?)",
        lambda number: _Entry(
            resnet.small_image_resnet, {"depth": 20, "width": round(16 * float(number))}
        ),
        (),
    ),
    "lstm-<units>": (
        r"lstm-(\d+)",
        lambda number: _Entry(lstm.lstm_language_model, {"units": int(number)}),
        (),
    ),
    "nmt-<units>": (
        r"nmt-(\d+)",
        lambda number: _Entry(encoder_decoder.seq2seq, {"units": int(number)}),
        ("128", "256", "512", "1024"),
    ),
}


def names() -> list[str]:
    """The names that `build` takes, with the usual numbers where any number goes.

    Those are the ends of `mobilenet-v1-<width>`, `resnet20-<width>`, `lstm-<units>` and
    `nmt-<units>`; of ResNet-20 and of LSTMs there are no usual ones.

    Example:
        >>> [name for name in names() if name.startswith(("lstm", "mobilenet"))]
        ['lstm-large', 'lstm-medium', 'lstm-small',
         'mobilenet-v1-0.25', 'mobilenet-v1-0.5', 'mobilenet-v1-0.75', 'mobilenet-v1-1.0']
    """
    usual = [
        re.sub("<.*>", number, family)
        for family, (_, _, numbers) in _FAMILIES.items()
        for number in numbers
    ]
    return sorted([*_ENTRIES, *usual])


def build(name: str, /, **options: Any) -> keras.Model:
    """Build a reference model.

    Args:
        name: one of `names()`, or of the same form with another number, such as "lstm-400".
        **options: arguments of the model's builder other than those that the name sets, such as
            `input_shape` and `classes` of image classifiers. "lstm-small", "lstm-medium" and
            "lstm-large" have the paper's steps, dropout, batch size and initial weights unless
            given.

    Returns:
        The uncompiled model, with random weights.

    Raises:
        ValueError: for an unknown name, or an option that is out of its range.
        TypeError: for an option that the model does not have.

    Example:
        >>> build("mobilenet-v1-0.25", input_shape=(32, 32, 3), classes=10).count_params()
        221114
    """
    entry = _entry(name)
    parameters = inspect.signature(entry.builder).parameters
    known = [parameter for parameter in parameters if parameter not in entry.fixed]
    for option in options:
        if option not in known:
            raise TypeError(
                f"`options` of model {name!r} must be among {', '.join(known)}. "
                f"Received: {option}={options[option]!r}"
            )
    return entry.builder(**{**entry.defaults, **options, **entry.fixed})


def _entry(name: str) -> _Entry:
    known = name if isinstance(name, str) else ""
    if known in _ENTRIES:
        return _ENTRIES[known]
    for pattern, entry_of, _ in _FAMILIES.values():
        if match := re.fullmatch(pattern, known):
            return entry_of(match[1])
    raise ValueError(
        f"`name` must be one of {', '.join(names())}, or {', '.join(_FAMILIES)} with another "
        f"number. Received: name={name!r}"
    )
