"""Augmentation of image classification data in `tf.data`: random crops and mirroring."""

from typing import Any

import tensorflow as tf

from models.checks import check_draws


def augmented(
    dataset: tf.data.Dataset, *, crop: int = 4, flip: bool = True, seed: int = 0
) -> tf.data.Dataset:
    """The data set with every image shifted and mirrored at random, anew in each pass over it.

    An image is padded by `crop` zeros on every side, cropped to its size at a random place, and
    mirrored with probability 1/2. A program that is run again makes the same draws; for a training
    that has to be taken up in the middle see `training_batches`.

    Args:
        dataset: of (images, labels), with or without a batch dimension: images of
            (batch, height, width, channels), which is faster, or (height, width, channels).
        crop: pixels by which an image moves at most, at least 0; 4 is usual for 32 x 32 pixels.
        flip: whether images are mirrored.
        seed: of all draws, at least 0.

    Returns:
        A data set of as many elements of the same shapes and types.

    Raises:
        ValueError: if an argument is out of its range.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.

    Example:
        >>> images = tf.data.Dataset.from_tensor_slices((tf.ones((2, 8, 8, 1)), [3, 5]))
        >>> [(image.shape, int(label)) for image, label in augmented(images, crop=1)]
        [(TensorShape([8, 8, 1]), 3), (TensorShape([8, 8, 1]), 5)]
    """
    check_draws(crop, flip, seed)
    draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)

    def change(example: tuple[Any, Any], draw: tf.Tensor) -> tuple[Any, Any]:
        images, labels = example
        single = images.shape.rank == 3
        moved = _moved(images[tf.newaxis] if single else images, draw, crop=crop, flip=flip)
        return tf.ensure_shape(moved[0] if single else moved, images.shape), labels

    pairs = tf.data.Dataset.zip((dataset, draws))
    return pairs.map(change, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _moved(images: tf.Tensor, draw: tf.Tensor, *, crop: int, flip: bool) -> tf.Tensor:
    """Each of the images (n, height, width, channels) moved and mirrored, as `draw` decides."""
    count, height, width = tf.shape(images)[0], tf.shape(images)[1], tf.shape(images)[2]
    shift = tf.random.stateless_uniform(
        (2, count), tf.random.experimental.stateless_fold_in(draw, 0), 0, 2 * crop + 1, tf.int32
    )
    rows = shift[0][:, tf.newaxis] + tf.range(height)
    columns = shift[1][:, tf.newaxis] + tf.range(width)
    if flip:
        coin = tf.random.stateless_uniform(
            (count, 1), tf.random.experimental.stateless_fold_in(draw, 1)
        )
        columns = tf.where(coin < 0.5, columns, columns[:, ::-1])
    padded = tf.pad(images, ((0, 0), (crop, crop), (crop, crop), (0, 0)))
    return tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
