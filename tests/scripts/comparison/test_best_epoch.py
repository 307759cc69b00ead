"""scripts/comparison/best_epoch.py: which epoch is kept."""

import keras
import numpy as np
import pytest

import tfprune
from scripts.comparison.best_epoch import BestEpoch


def fitted(losses, *, epochs, from_step=0, prune=False):
    """A model trained for epochs of two steps; what is kept; the weights whenever it was asked."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    callbacks = []
    if prune:
        schedule = tfprune.PolynomialDecay(0.0, 0.5, begin_step=0, end_step=4, frequency=1)
        model, callbacks = tfprune.prune(model, schedule), [tfprune.UpdatePruningStep()]
    model.compile(keras.optimizers.SGD(0.1), "mse")
    given, seen = iter(losses), []

    def loss(own):
        seen.append([np.array(weight) for weight in own.get_weights()])
        return next(given)

    best = BestEpoch(model, loss, from_step=from_step)
    x = np.random.default_rng(0).normal(size=(8, 4))
    model.fit(x, x[:, :3], batch_size=4, epochs=epochs, verbose=0, callbacks=[*callbacks, best])
    return model, best, seen


def test_the_weights_of_the_epoch_with_the_lowest_loss_come_back():
    model, best, seen = fitted([3.0, 1.0, 2.0], epochs=3)
    best.restore(model)
    for own, kept in zip(model.get_weights(), seen[1], strict=True):
        np.testing.assert_array_equal(own, kept)


def test_epochs_that_are_not_sparse_yet_do_not_count_and_masks_come_back():
    model, best, seen = fitted([2.0, 3.0], epochs=3, from_step=4, prune=True)
    assert len(seen) == 2  # after steps 4 and 6
    best.restore(model)
    for own, kept in zip(model.get_weights(), seen[0], strict=True):
        np.testing.assert_array_equal(own, kept)
    kernel = tfprune.strip_pruning(model).layers[-1].kernel.numpy()
    assert (kernel == 0).sum() == 6


def test_a_training_without_a_finite_loss_is_said_to_have_none():
    model, best, _ = fitted([float("nan")], epochs=1)
    with pytest.raises(ValueError, match="no epoch had a finite loss that counted"):
        best.restore(model)
