"""Images that a network is trained and tested on, in the form of the study of integer files."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np

from models import Dataset, training_batches
from scripts.studies.quantization.tasks import run


def as_they_are(images: np.ndarray) -> np.ndarray:
    """Return images in [0, 1] unchanged: what networks that normalize nothing take."""
    return images


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A network for images, and the share of the test images it classifies correctly.

    Args:
        images: that train and that test.
        build: () -> network, with its weights where they are given.
        prepare: images in [0, 1] -> inputs.
        moved: whether training images are cropped and mirrored at random.
        batch_size: images in a step.
    """

    images: Dataset
    build: Callable[[], keras.Model]
    prepare: Callable[[np.ndarray], np.ndarray] = as_they_are
    moved: bool = False
    batch_size: int = 128
    measure: str = "accuracy"

    def network(self) -> keras.Model:
        return self.build()

    def loss(self) -> keras.losses.Loss:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def batches(self, seed: int, first: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        x, y, size = self.images.x_train, self.images.y_train, self.batch_size
        epoch, step = divmod(first, len(x) // size)
        begin = {"epochs": 10_000, "first_epoch": epoch, "first_step": step}
        change = {"crop": 4, "flip": True} if self.moved else {}
        found = training_batches(x, y, size, seed=seed, **begin, **change)
        return ((self.prepare(each), labels) for each, labels in found)

    def examples(self, seed: int) -> np.ndarray:
        return next(self.batches(seed, 0))[0]

    def score(self, model: keras.Model) -> float:
        scores = model.predict(self.prepare(self.images.x_test), batch_size=500, verbose=0)
        return float(np.mean(scores.argmax(-1) == self.images.y_test))

    def score_of_file(self, path: Path) -> float:
        """Return the share of the test images that a file classifies correctly."""
        scores = run(path, self.prepare(self.images.x_test))
        return float(np.mean(scores.argmax(-1) == self.images.y_test))
