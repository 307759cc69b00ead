"""models/images/augment.py: what is moved, how far, and that it can be repeated."""

import numpy as np
import pytest
import tensorflow as tf

from models import augmented
from tests.models.images.test_batches import IMAGES, IMPOSSIBLE, LABELS, placements


def moves(dataset, crop):
    """(row, column, mirrored) of each example; fails where an image is none of its placements."""
    return [
        placements(IMAGES[label], crop)[image.tobytes()]
        for images, labels in dataset.as_numpy_iterator()
        for image, label in zip(np.reshape(images, (-1, 6, 5, 2)), np.ravel(labels), strict=True)
    ]


def dataset(batch_size=None):
    examples = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    return examples if batch_size is None else examples.batch(batch_size)


def same(first, second):
    pairs = list(zip(first.as_numpy_iterator(), second.as_numpy_iterator(), strict=True))
    return all(np.array_equal(a, b) for one, other in pairs for a, b in zip(one, other))


@pytest.mark.parametrize("batch_size", [None, 16])
def test_images_are_cropped_and_mirrored_in_every_way(batch_size):
    result = augmented(dataset(batch_size), crop=1, seed=3)
    assert result.element_spec == dataset(batch_size).element_spec
    rows, columns, mirrored = zip(*moves(result, 1))
    assert len(rows) == 40
    assert set(rows) == set(columns) == {0, 1, 2} and 10 <= sum(mirrored) <= 30


def test_without_crop_and_flip_nothing_changes():
    assert same(augmented(dataset(), crop=0, flip=False), dataset())


def test_flip_and_crop_are_separate():
    assert {move[:2] for move in moves(augmented(dataset(8), crop=0), 0)} == {(0, 0)}
    assert not any(move[2] for move in moves(augmented(dataset(8), flip=False, crop=2), 2))


def test_each_pass_differs_and_a_seed_repeats_all_of_them():
    first, second = augmented(dataset(8), seed=1), augmented(dataset(8), seed=1)
    passes = [moves(first, 4) for _ in range(3)]
    assert passes[0] != passes[1] != passes[2]
    assert [moves(second, 4) for _ in range(3)] == passes
    assert moves(augmented(dataset(8), seed=2), 4) != passes[0]


def test_types_of_images_are_kept():
    bytes_ = tf.data.Dataset.from_tensor_slices((IMAGES.astype("uint8"), LABELS))
    assert augmented(bytes_).element_spec == bytes_.element_spec


@pytest.mark.parametrize(("options", "message"), IMPOSSIBLE)
def test_impossible_augmentation_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        augmented(dataset(), **options)
