"""ImageNet (ILSVRC 2012) through TFDS, as `tf.data` pipelines of batches for `fit`."""

import os
import re
from typing import Any

import tensorflow as tf

from models.data.prepared import in_one_line, own_folder, prepared_folder, searched_folders

CLASSES = 1000
_NAME = "imagenet2012"
_HOW = (
    "download ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from image-net.org, which asks "
    "for an account, into one folder, then tfds build imagenet2012 --manual_dir=<that folder> "
    "--data_dir={folder}"
)
_MARGIN = 32  # pixels that a test image of the asked size would have around it


def imagenet_batches(
    split: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    size: int = 224,
    batch_size: int = 128,
    training: bool = False,
    seed: int = 0,
    shuffle_buffer: int = 8192,
) -> tf.data.Dataset:
    """ImageNet's images and labels in batches.

    For training, each image is a random part of the original (8 to 100 % of its area, 3:4 to 4:3),
    resized and mirrored with probability 1/2; examples are shuffled anew in each pass, and those
    that do not fill a batch are left out. Otherwise it is the square in the middle, of
    size / (size + 32) of the shorter side, and every example comes once, in the order of the files.
    Only the part that is used is decoded.

    Args:
        split: "train" or "validation" (which has the labels that figures are published for), or a
            part as in TFDS, such as "train[:10%]".
        data_dir: folder with the prepared data set (it holds `imagenet2012/<version>`); None to
            search as `models.data.arrays.load` does. It is never downloaded: image-net.org gives it
            to people with an account.
        size: height and width of the images that come out, at least 1.
        batch_size: images in a batch, at least 1.
        training: whether to shuffle and augment.
        seed: of shuffling and augmentation, at least 0.
        shuffle_buffer: examples among which the next one is drawn, at least 1; each takes about
            110 kB as a JPEG.

    Returns:
        A data set of (images, labels): float32 of (batch, size, size, 3) in [-1, 1], as
        MobileNetV1 and InceptionV3 take them, and int64 of (batch,).

    Raises:
        ValueError: if an argument is out of its range, or the data set or its split is missing or
            damaged. A record that turns out to be damaged later raises TensorFlow's error while
            the data set is read; `models.data.prepared.naming_damage` says which.

    Source: Szegedy et al., "Going Deeper with Convolutions", arXiv 1409.4842, section 6, for the
    training images.
    """
    least = {"size": 1, "batch_size": 1, "seed": 0, "shuffle_buffer": 1}
    for name, value in zip(least, (size, batch_size, seed, shuffle_buffer), strict=True):
        if not isinstance(value, int) or value < least[name]:
            raise ValueError(
                f"`{name}` must be an integer of at least {least[name]}. Received: {name}={value!r}"
            )
    if not re.match(r"(train|validation)\b", str(split)):  # the examples of "test" have no labels
        raise ValueError(
            f"`split` must be 'train', 'validation' or a part of one. Received: split={split!r}"
        )
    examples = _encoded_examples(split, data_dir, training, seed)
    if training:
        examples = examples.shuffle(shuffle_buffer, seed=seed)
        draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
        dataset = tf.data.Dataset.zip((examples, draws)).map(
            lambda example, draw: (_training_image(example[0], size, draw), example[1]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
    else:
        dataset = examples.map(
            lambda encoded, label: (_test_image(encoded, size), label),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
    return dataset.batch(batch_size, drop_remainder=training).prefetch(tf.data.AUTOTUNE)


def _encoded_examples(
    split: str, data_dir: str | os.PathLike[str] | None, training: bool, seed: int
) -> tf.data.Dataset:
    """(JPEG, label) of the split."""
    folder = prepared_folder(_NAME, data_dir, how=_HOW)
    if folder is None:
        searched = " or ".join(map(str, searched_folders()))
        how = _HOW.format(folder=own_folder())
        raise ValueError(f"data set {_NAME!r} is not prepared in {searched} (to make it: {how})")
    import tensorflow_datasets as tfds

    try:
        return tfds.load(
            _NAME,
            data_dir=folder,
            split=split,
            as_supervised=True,
            download=False,
            decoders={"image": tfds.decode.SkipDecoding()},
            shuffle_files=training,
            read_config=tfds.ReadConfig(shuffle_seed=seed),
        )
    except Exception as error:  # TFDS raises a dozen unrelated types for I/O and format
        raise ValueError(
            f"data set {_NAME!r} in {folder / _NAME} has no readable split {split!r}: "
            f"{in_one_line(error)}"
        ) from error


def _training_image(encoded: tf.Tensor, size: int, draw: tf.Tensor) -> tf.Tensor:
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.image.extract_jpeg_shape(encoded),
        bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=draw,
        min_object_covered=0.0,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(0.08, 1.0),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    image = _cropped(encoded, begin[:2], extent[:2], size)
    coin = tf.random.stateless_uniform((), tf.random.experimental.stateless_fold_in(draw, 1))
    return tf.where(coin < 0.5, image, image[:, ::-1])


def _test_image(encoded: tf.Tensor, size: int) -> tf.Tensor:
    shape = tf.image.extract_jpeg_shape(encoded)[:2]
    shorter = tf.cast(tf.reduce_min(shape), tf.float32)
    side = tf.cast(tf.round(shorter * (size / (size + _MARGIN))), tf.int32)
    extent = tf.maximum(tf.stack([side, side]), 1)
    return _cropped(encoded, (shape - extent + 1) // 2, extent, size)


def _cropped(encoded: Any, begin: tf.Tensor, extent: tf.Tensor, size: int) -> tf.Tensor:
    """Part of an image, resized, in [-1, 1]."""
    window = tf.concat([begin, extent], axis=0)
    image = tf.image.decode_and_crop_jpeg(encoded, window, channels=3)
    image = tf.image.resize(image, (size, size), method="bilinear", antialias=True)
    return tf.ensure_shape(image / 127.5 - 1.0, (size, size, 3))
