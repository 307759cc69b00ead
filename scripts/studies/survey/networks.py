"""The networks of the comparison, how they are trained, and how strong each method is.

Strengths are such that the file is a tenth of the dense one, or as near to it as the method gets.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras

from models.data import arrays
from models.images.classic import lenet_5, lenet_300_100, vgg_16
from models.images.resnet import load_resnet20, normalize, resnet20
from models.language.lstm import lstm_language_model
from scripts.studies.quantization.tasks import Task, Words
from scripts.studies.survey.tasks import Classifier


@dataclasses.dataclass(frozen=True)
class Strength:
    """How strong a method is on a network, and how long it is trained.

    Args:
        options: of the recipe, as plain values.
        steps: of training; None for those of the network.
        rate: learning rate at first, or those of its trainings; None for that of the network.
    """

    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    steps: int | None = None
    rate: float | tuple[float, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Network:
    """A network, its data, and what is done to it.

    Args:
        label: what tables call it.
        task: (folder of the data, weights) -> data and measure.
        optimizer: "adam" or "sgd".
        rate: learning rate of a training, at first; a cosine leads it to 0.
        steps: of the training after a method.
        methods: name of a recipe -> its strength, the most telling first.
        small: () -> the smaller network of "distillation".
        dense_steps: of the dense network's own training; 0 where its weights are given.
        step_seconds: expected on one core.
        coded: whether files for microcontrollers are written, too.
    """

    label: str
    task: Callable[[Path | None, Path | None], Task]
    optimizer: str
    rate: float
    steps: int
    methods: dict[str, Strength]
    small: Callable[[], keras.Model] | None = None
    dense_steps: int = 0
    step_seconds: float = 0.03
    coded: bool = True


def _fashion(build: Callable[[], keras.Model], folder: Path | None, weights: Path | None) -> Task:
    return Classifier(arrays.load("fashion_mnist", folder), build)


def _vgg(folder: Path | None, weights: Path | None) -> Task:
    build = partial(vgg_16, (32, 32, 3), 10, width=0.25, dropout=0.2)
    return Classifier(arrays.load("cifar10", folder), build, normalize, True)


def _resnet(folder: Path | None, weights: Path | None) -> Task:
    images = arrays.load("cifar10", folder)
    return Classifier(images, partial(load_resnet20, weights), normalize, True)


def _words(folder: Path | None, weights: Path | None) -> Task:
    if weights is None:
        raise ValueError("`--lstm` must name a checkpoint of the comparison's dense LSTM")
    return Words(weights, folder)


def _small_lstm() -> keras.Model:
    return lstm_language_model(22, vocabulary=10_000, steps=20, stateful=False)


_SLOW = 2e-4  # Adam's rate for weights that are rounded or share values
_THEN_SLOW = (1e-3, _SLOW)
_SHARED = 1e-4  # SGD's rate for values that get the sum of their weights' gradients
NETWORKS = {
    "lenet_300_100": Network(
        "LeNet-300-100",
        partial(_fashion, lenet_300_100),
        "adam",
        1e-3,
        16 * 468,
        {"structured": Strength({"blocks": 50, "rules": (("dense1", 49),)})},
        dense_steps=16 * 468,
        step_seconds=0.005,
    ),
    "lenet_5": Network(
        "LeNet-5",
        partial(_fashion, lenet_5),
        "adam",
        1e-3,
        2 * 468,
        {
            "pruning": Strength({"sparsity": 0.94}),
            "clustering": Strength({"levels": 8}, rate=_SLOW),
            "pruning+clustering": Strength({"sparsity": 0.9, "levels": 8}, rate=_THEN_SLOW),
            "int8": Strength(rate=_SLOW),
            "low_rank": Strength({"parameters": 0.1}),
            "channels": Strength({"parameters": 0.1}),
            "trained_ternary": Strength({"scale": "trained"}),
            "ternary": Strength({"scale": "mean"}),
            "binary": Strength(),
            "structured": Strength({"blocks": 9}),
            "distillation": Strength({"small": True}),
            "pruning+int8": Strength({"sparsity": 0.9}, rate=_THEN_SLOW),
            "channels+int8": Strength({"parameters": 0.4}, rate=_THEN_SLOW),
            "low_rank+int8": Strength({"parameters": 0.4}, rate=_THEN_SLOW),
            "int4": Strength(rate=_SLOW),
            "compact": Strength({"filters": "separable"}),
        },
        partial(lenet_5, width=0.31),
        dense_steps=5 * 468,
    ),
    "resnet20": Network(
        "ResNet-20",
        _resnet,
        "sgd",
        0.05,
        390,
        {
            "pruning": Strength({"sparsity": 0.945}),
            "int8": Strength(steps=200, rate=0.01),
            "pruning+int8": Strength({"sparsity": 0.86}, rate=(0.05, 0.01)),
            "channels": Strength({"parameters": 0.1}),
            "clustering": Strength({"levels": 8}, steps=200, rate=_SHARED),
            "low_rank": Strength({"parameters": 0.1}),
            "pruning+clustering": Strength({"sparsity": 0.88, "levels": 8}, rate=(0.05, _SHARED)),
            "channels+int8": Strength({"parameters": 0.33}, rate=(0.05, 0.01)),
            "int4": Strength(steps=200, rate=0.01),
            "compact": Strength({"filters": "separable"}),
            "low_rank+int8": Strength({"parameters": 0.29}, rate=(0.05, 0.01)),
            "distillation": Strength({"small": True}),
            "trained_ternary": Strength({"scale": "trained"}, rate=0.03),
        },
        partial(resnet20, width=5),
        step_seconds=0.27,
    ),
    "vgg16": Network(
        "VGG-16, a quarter as wide",
        _vgg,
        "sgd",
        0.05,
        390,
        {
            "pruning": Strength({"sparsity": 0.93}),
            "channels": Strength({"parameters": 0.1}),
            "clustering": Strength({"levels": 8}, steps=200, rate=_SHARED),
            "int8": Strength(steps=200, rate=0.01),
            "low_rank": Strength({"parameters": 0.15}),
            "compact": Strength({"filters": "separable"}),
            "ternary": Strength({"scale": "mean"}, rate=0.03),
            "pruning+clustering": Strength({"sparsity": 0.9, "levels": 8}, rate=(0.05, _SHARED)),
            "pruning+int8": Strength({"sparsity": 0.85}, rate=(0.05, 0.01)),
        },
        dense_steps=10 * 390,
        step_seconds=0.17,
    ),
    "lstm": Network(
        "LSTM language model",
        _words,
        "sgd",
        0.3,
        960,
        {
            "pruning": Strength({"sparsity": 0.93}),
            "low_rank": Strength({"parameters": 0.1}),
            "channels": Strength({"parameters": 0.1}),
            "int8": Strength(),
            "clustering": Strength({"levels": 8}),
            "pruning+int8": Strength({"sparsity": 0.85}),
            "low_rank+int8": Strength({"parameters": 0.34}),
            "channels+int8": Strength({"parameters": 0.34}),
            "int4": Strength(),
            "structured": Strength({"blocks": 20}),
            "ternary": Strength({"scale": "mean", "keep_ends": False}),
            "distillation": Strength({"small": True}),
        },
        _small_lstm,
        step_seconds=0.08,
        coded=False,
    ),
}
# Trained for longer than the others: what few bits keep shows only then.
LONG = {
    "resnet20": {
        "ternary": Strength({"scale": "mean"}, 4 * 390, 0.03),
        "binary": Strength({}, 5 * 390, 0.03),
    }
}
