"""models/images/batches.py: what is moved, how far, and that a training can be taken up."""

import keras
import numpy as np
import pytest

from models import training_batches

# Every pixel its own number, none of them the 0 that is padded.
IMAGES = np.arange(1, 1 + 40 * 6 * 5 * 2, dtype="float32").reshape(40, 6, 5, 2)
LABELS = np.arange(40)
IMPOSSIBLE = [
    ({"crop": -1}, "`crop` must be an integer >= 0. Received: crop=-1"),
    ({"crop": 1.5}, "`crop` must be an integer >= 0. Received: crop=1.5"),
    ({"seed": -1}, "`seed` must be an integer >= 0"),
    ({"flip": 1}, "`flip` must be True or False. Received: flip=1"),
]


def placements(image, crop):
    """Every image that moving and mirroring this one can give -> (row, column, mirrored)."""
    padded = np.pad(image, ((crop, crop), (crop, crop), (0, 0)))
    height, width = image.shape[:2]
    found = {}
    for row in range(2 * crop + 1):
        for column in range(2 * crop + 1):
            part = padded[row : row + height, column : column + width]
            found[part.tobytes()] = (row, column, False)
            found[part[:, ::-1].tobytes()] = (row, column, True)
    return found


def moves(batches, crop):
    """(row, column, mirrored) of each example; fails where an image is none of its placements."""
    return [
        placements(IMAGES[label], crop)[image.tobytes()]
        for images, labels in batches
        for image, label in zip(images, labels, strict=True)
    ]


def labels_of(batches):
    return [labels.tolist() for _, labels in batches]


def same(first, second):
    pairs = list(zip(first, second, strict=True))
    return all(np.array_equal(a, b) for one, other in pairs for a, b in zip(one, other))


def test_an_epoch_has_every_example_once_in_an_order_of_its_own():
    batches = labels_of(training_batches(IMAGES, LABELS, 8, epochs=2))
    assert [len(batch) for batch in batches] == [8] * 10
    first, second = np.ravel(batches[:5]).tolist(), np.ravel(batches[5:]).tolist()
    assert sorted(first) == sorted(second) == list(range(40)) and first != second


def test_examples_left_over_by_whole_batches_are_dropped():
    batches = labels_of(training_batches(IMAGES, LABELS, 12, epochs=2))
    assert [len(batch) for batch in batches] == [12] * 6
    assert len({*sum(batches[:3], [])}) == 36


def test_batches_of_training_are_augmented_anew_in_each_epoch():
    found = moves(training_batches(IMAGES, LABELS, 8, epochs=2, crop=1, flip=True), 1)
    assert set(found) == {(r, c, m) for r in range(3) for c in range(3) for m in (False, True)}
    assert found[:40] != found[40:]
    plain = moves(training_batches(IMAGES, LABELS, 8, epochs=1), 0)
    assert plain == [(0, 0, False)] * 40


def test_a_training_taken_up_sees_what_an_uninterrupted_one_would():
    def make(**options):
        return training_batches(IMAGES, LABELS, 8, epochs=3, crop=2, flip=True, **options)

    assert same(make(seed=5, first_epoch=2), [*make(seed=5)][10:])
    assert same(make(seed=5, first_epoch=1, first_step=3), [*make(seed=5)][8:])
    assert not same(make(seed=6), make(seed=5))


def test_fit_takes_an_epoch_at_a_time_and_resumes():
    def trained(first_epoch, model):
        batches = training_batches(IMAGES, LABELS, 12, epochs=3, first_epoch=first_epoch, crop=1)
        model.fit(
            batches,
            epochs=3 if first_epoch else 2,
            initial_epoch=first_epoch,
            steps_per_epoch=3,
            shuffle=False,
            verbose=0,
        )
        return model

    def fresh():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((6, 5, 2)), keras.layers.Flatten()])
        model.add(keras.layers.Dense(1))
        model.compile(keras.optimizers.SGD(1e-8), "mse")
        return model

    resumed = trained(2, trained(0, fresh()))
    whole = fresh()
    batches = training_batches(IMAGES, LABELS, 12, epochs=3, crop=1)
    whole.fit(batches, epochs=3, steps_per_epoch=3, shuffle=False, verbose=0)
    np.testing.assert_array_equal(resumed.layers[-1].kernel, whole.layers[-1].kernel)


@pytest.mark.parametrize(("options", "message"), IMPOSSIBLE)
def test_impossible_augmentation_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        training_batches(IMAGES, LABELS, 8, epochs=1, **options)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((LABELS, 0), {"epochs": 1}, "`batch_size` must be from 1 to 40"),
        ((LABELS, 41), {"epochs": 1}, "Received: batch_size=41"),
        ((LABELS[:9], 2), {"epochs": 1}, "`y` must have a label an image. Received: 9 for 40"),
        ((LABELS, 2), {"epochs": 2, "first_epoch": 2}, "`first_epoch` must be from 0 to `epochs`"),
        ((LABELS, 2), {"epochs": 0}, "Received: first_epoch=0, epochs=0"),
        ((LABELS, 8), {"epochs": 1, "first_step": 5}, "`first_step` must be from 0 to 4"),
    ],
)
def test_impossible_batches_are_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        training_batches(IMAGES, *arguments, **options)
