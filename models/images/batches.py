"""Batches of images in memory for a training, as NumPy arrays: any backend takes them.

crop_and_flip       images moved and mirrored at random, once
training_batches    shuffled batches, moved and mirrored anew in every epoch
"""

from collections.abc import Iterator

import numpy as np

from models.checks import check_draws


def crop_and_flip(images: np.ndarray, seed: int) -> np.ndarray:
    """Return the images as the pretrained weights saw them in training, before `normalize`.

    Each is padded by 4 black pixels on every side, cropped to its size at a random place, and
    mirrored with probability 1/2.

    Args:
        images: (n, height, width, 3) in [0, 1].
        seed: of the places and the mirroring.

    Returns:
        Array of the same shape and dtype.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.

    Example:
        >>> crop_and_flip(np.ones((2, 32, 32, 3), np.float32), seed=0).shape
        (2, 32, 32, 3)
    """
    return _moved(images, np.random.default_rng(seed), crop=4, flip=True)


def training_batches(
    x: np.ndarray,
    y: np.ndarray,
    batch_size: int,
    *,
    epochs: int,
    first_epoch: int = 0,
    first_step: int = 0,
    crop: int = 0,
    flip: bool = False,
    seed: int = 0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of several epochs, each shuffled and augmented in its own way.

    A batch depends on the seed, its epoch and its place there alone: a training taken up at
    `first_epoch` and `first_step` sees what an uninterrupted one would see from there on. An epoch
    has `len(x) // batch_size` batches; the examples that are left over differ from epoch to epoch.
    For `fit`, pass that number as `steps_per_epoch`, `first_epoch` as `initial_epoch`, and
    `shuffle=False`, since Keras warns that it does not shuffle them.

    Args:
        x: images, (n, height, width, channels).
        y: labels, (n,).
        batch_size: examples in a batch, from 1 to n.
        epochs: epochs of the whole training, at least 1.
        first_epoch: the first one to give, counted from 0, less than `epochs`.
        first_step: the first batch of that epoch to give, counted from 0.
        crop: pixels by which an image moves at most, at least 0: it is padded by as many zeros on
            every side and cropped to its size at a random place.
        flip: whether images are mirrored with probability 1/2.
        seed: of all draws, at least 0.

    Returns:
        Images and labels of one batch after the other, each of `batch_size` examples.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> x, y = np.zeros((5, 8, 8, 1)), np.arange(5)
        >>> len(list(training_batches(x, y, 2, epochs=3, first_epoch=1)))
        4
    """
    check_draws(crop, flip, seed)
    if len(x) != len(y):
        raise ValueError(f"`y` must have a label an image. Received: {len(y)} for {len(x)}")
    if not 1 <= batch_size <= len(x):
        raise ValueError(
            f"`batch_size` must be from 1 to {len(x)}, the number of examples. "
            f"Received: batch_size={batch_size}"
        )
    if not 0 <= first_epoch < epochs:
        raise ValueError(
            f"`first_epoch` must be from 0 to `epochs` - 1. "
            f"Received: first_epoch={first_epoch}, epochs={epochs}"
        )
    steps = len(x) // batch_size
    if not 0 <= first_step < steps:
        raise ValueError(
            f"`first_step` must be from 0 to {steps - 1}, the last batch of an epoch. "
            f"Received: first_step={first_step}"
        )

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for epoch in range(first_epoch, epochs):
            order = np.random.default_rng((seed, epoch)).permutation(len(x))
            for step in range(first_step if epoch == first_epoch else 0, steps):
                chosen = order[step * batch_size : (step + 1) * batch_size]
                draws = np.random.default_rng((seed, epoch, step))
                images = _moved(x[chosen], draws, crop=crop, flip=flip)
                yield images, y[chosen]

    return batches()


def _moved(images: np.ndarray, random: np.random.Generator, *, crop: int, flip: bool) -> np.ndarray:
    """Return the images, each moved and mirrored as the next draws decide."""
    if crop:
        height, width = images.shape[1:3]
        padded = np.pad(images, ((0, 0), (crop, crop), (crop, crop), (0, 0)))
        images = np.empty_like(images)
        for index, (row, column) in enumerate(random.integers(0, 2 * crop + 1, (len(images), 2))):
            images[index] = padded[index, row : row + height, column : column + width]
    if flip:
        mirrored = random.random(len(images)) < 0.5
        images[mirrored] = images[mirrored, :, ::-1]
    return images
