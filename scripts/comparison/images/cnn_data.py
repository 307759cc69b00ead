"""The images of the comparison's classifiers: arrays of small images, or ImageNet's files."""

import contextlib
import dataclasses
import os
from collections.abc import Callable
from typing import Any, Protocol

import keras
import numpy as np

import models
from models.data import prepared
from models.images.batches import training_batches
from models.images.resnet import normalize
from scripts.comparison.images.cnn_presets import Preset
from scripts.lab import fingerprints

IMAGENET = "imagenet2012"
_IMAGENET_IMAGES = 1_281_167
_EVALUATED = 500  # small images a batch


class Images(Protocol):
    """What a training asks for.

    Attributes:
        input_shape: (height, width, channels).
        classes: number of classes.
        steps: batches an epoch.
    """

    input_shape: tuple[int, int, int]
    classes: int
    steps: int

    def epoch(self, seed: int, epoch: int) -> Any:
        """Return every training batch once, in an order that seed and epoch fix."""

    def evaluate(self, model: keras.Model) -> dict[str, float]:
        """Return loss and metrics of a compiled model on all test images."""

    def fingerprint(self) -> str:
        """Return what tells these images from others."""

    def naming_damage(self) -> contextlib.AbstractContextManager[None]:
        """Say which record is damaged, where one turns out to be while the block reads images."""


@dataclasses.dataclass(frozen=True)
class Small:
    """Images that fit into memory, mirrored and moved by a few pixels at random.

    Args:
        images: the data set.
        preset: how it is used.
    """

    images: models.Dataset
    preset: Preset

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return self.images.x_train.shape[1:]

    @property
    def classes(self) -> int:
        return self.images.classes

    @property
    def steps(self) -> int:
        return len(self.images.x_train[: self.preset.images]) // self.preset.batch_size

    def epoch(self, seed: int, epoch: int) -> Any:
        batches = training_batches(
            self.images.x_train[: self.preset.images],
            self.images.y_train[: self.preset.images],
            self.preset.batch_size,
            epochs=epoch + 1,
            first_epoch=epoch,
            crop=self.preset.crop,
            flip=True,
            seed=seed,
        )
        return ((self._scaled(images), labels) for images, labels in batches)

    def evaluate(self, model: keras.Model) -> dict[str, float]:
        x, y = self._scaled(self.images.x_test), self.images.y_test
        return model.evaluate(x, y, batch_size=_EVALUATED, verbose=0, return_dict=True)

    def _scaled(self, images: np.ndarray) -> np.ndarray:
        # After they were moved: what is moved in from outside is black.
        return normalize(images) if self.preset.normalize else images

    def fingerprint(self) -> str:
        images = self.images
        return fingerprints.of_data(images.x_train, images.y_train, images.x_test, images.y_test)

    def naming_damage(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()  # all of them are read before


@dataclasses.dataclass(frozen=True)
class ImageNet:
    """ImageNet through TFDS: random parts of the images, mirrored at random.

    Args:
        preset: how it is used.
        data_dir: folder with the prepared data set, None to search it.
    """

    preset: Preset
    data_dir: str | os.PathLike[str] | None
    classes: int = 1000

    @property
    def input_shape(self) -> tuple[int, int, int]:
        side = self.preset.side
        return side, side, 3

    @property
    def steps(self) -> int:
        return (self.preset.images or _IMAGENET_IMAGES) // self.preset.batch_size

    def epoch(self, seed: int, epoch: int) -> Any:
        return self._batches("train", training=True, seed=seed * 10_000 + epoch).take(self.steps)

    def evaluate(self, model: keras.Model) -> dict[str, float]:
        return model.evaluate(self._batches("validation"), verbose=0, return_dict=True)

    def fingerprint(self) -> str:
        return IMAGENET  # too large to read for this

    def naming_damage(self) -> contextlib.AbstractContextManager[None]:
        return prepared.naming_damage(IMAGENET, self.data_dir)

    def _batches(self, split: str, **options: Any) -> Any:
        from models.data.imagenet import imagenet_batches

        return imagenet_batches(
            split,
            data_dir=self.data_dir,
            size=self.preset.side,
            batch_size=self.preset.batch_size,
            **options,
        )


def images_of(
    preset: Preset,
    data_dir: str | os.PathLike[str] | None,
    load: Callable[..., models.Dataset] = models.load,
) -> Images:
    """Return the images of a preset.

    Args:
        preset: the preset.
        data_dir: folder of the data, None to search it.
        load: name, data_dir -> data set, for small images.

    Raises:
        ValueError: if the data set is missing or damaged.
    """
    if preset.data == IMAGENET:
        return ImageNet(preset, data_dir)
    return Small(load(preset.data, data_dir), preset)
