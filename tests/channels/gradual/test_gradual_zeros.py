"""Iterative Taylor pruning and zeros: those that are there before, and those that do not last."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.support.gate_networks import OTHERS, X, Y, fit, residual
from tfprune import channels
from tfprune.channels import IterativeTaylor
from tfprune.channels.choosing.selection import Limits
from tfprune.channels.coupling.groups import Group
from tfprune.channels.gradual.stepwise import Stepwise


def flat(first="glorot_uniform"):
    """A model of two layers, without normalizations, and the weights of the first."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Dense(12, "sigmoid", kernel_initializer=first, name="a")(layers.Flatten()(inputs))
    return keras.Model(inputs, layers.Dense(4, name="b")(x))


def test_a_layer_that_begins_at_zero_is_trained():
    model = flat("zeros")
    taylor = IterativeTaylor(model, 0.5, frequency=1, per_update=1, min_kept=2)
    assert taylor.plan.removed.size == 0
    fit(model, taylor, 1)
    kernel = model.get_layer("a").kernel.numpy()
    assert taylor.plan.groups[0].kept == 6 == np.count_nonzero(kernel.any(axis=0))
    small = channels.prune(model, taylor.plan)
    assert np.allclose(small(X), model(X), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("zero", "limits", "gone"),
    [
        ([1, 2, 3], Limits(), [1, 2, 3]),
        ([1, 2, 3, 4, 5, 6], Limits(), []),  # a layer that is to be trained
        ([1, 5, 6], Limits(), [1]),  # and a branch
        ([1, 2, 3, 5], Limits(min_kept=4), [2, 3]),
        ([1, 2, 3], Limits(round_to=2), [2, 3]),
        ([1], Limits(round_to=2), []),
        ([1, 4], Limits(), [1]),
    ],
)
def test_zero_channels_are_gone_as_far_as_the_limits_allow(zero, limits, gone):
    reasons, ones = ("", "", "", "stays", "", ""), np.ones(6, int)
    part = np.array([5, 6])
    group = Group("a", ("a", "b"), np.arange(1, 7), ones, ones > 0, reasons, "", (part,))
    stepwise = Stepwise("m", 8, [group], limits, None, None, 1, 0.9)
    found = stepwise.allowed(np.isin(np.arange(8), zero))
    assert np.flatnonzero(found).tolist() == gone
    assert np.array_equal(stepwise.allowed(found), found)


@pytest.mark.parametrize("late", [False, True], ids=["before", "after the callback is made"])
def test_another_callback_goes_on_from_what_is_gone_and_says_so(tmp_path, late):
    model = residual()
    first = IterativeTaylor(model, 0.25, frequency=1, per_update=1, rules=OTHERS)
    fit(model, first)
    model.save_weights(tmp_path / "of.weights.h5")
    model = residual()
    if not late:
        model.load_weights(tmp_path / "of.weights.h5")
    second = IterativeTaylor(model, 0.5, frequency=8, per_update=1, rules=OTHERS)
    if late:
        model.load_weights(tmp_path / "of.weights.h5")
    assert np.array_equal(second.plan.removed, first.plan.removed)
    with pytest.warns(UserWarning, match=r"Counted as gone: .* \(\d of '"):
        fit(model, second, 1)
    assert set(first.plan.removed) < set(second.plan.removed)
    assert second.plan.removed.size == first.plan.removed.size + 1  # of one update


def test_an_end_far_from_the_target_is_told_with_numbers():
    model = flat()
    kernel = model.get_layer("a").kernel
    kernel.assign(np.where(np.arange(12) < 8, 0.0, kernel.numpy()))
    taylor = IterativeTaylor(model, 0.25, frequency=1)
    with pytest.warns(UserWarning) as told:
        fit(model, taylor, 1)
    first, last = [str(warning.message) for warning in told]
    assert "(8 of 'a')" in first and "More is gone than asked: asked sparsity=0.25, 33.3% " in last


@pytest.mark.parametrize("behind", [False, True])
def test_what_comes_back_is_set_to_zero_again_and_told(behind):
    model = residual()
    taylor = IterativeTaylor(model, 0.5, frequency=8, per_update=3, rules=OTHERS)
    falling = keras.callbacks.LambdaCallback(on_epoch_end=lambda at, logs: logs.update(score=-at))
    best = keras.callbacks.EarlyStopping("score", mode="max", restore_best_weights=True, patience=9)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    callbacks = [falling, taylor, best] if behind else [falling, best, taylor]
    with pytest.warns(UserWarning, match="Set to zero again: 7 channels of 'functional"):
        model.fit(X, Y, batch_size=8, epochs=5, verbose=0, callbacks=callbacks)
        plan = taylor.plan
    small = channels.prune(model, plan)
    assert plan.removed.size == 10
    assert np.allclose(small(X), model(X), rtol=1e-4, atol=1e-5)


def test_averages_of_weights_have_the_zeros_without_a_word():
    model = residual()
    taylor = IterativeTaylor(model, 0.5, frequency=1, per_update=1)
    fit(model, taylor, 2, keras.optimizers.SGD(0.05, use_ema=True))
    small = channels.prune(model, taylor.plan)
    assert np.allclose(small(X), model(X), rtol=1e-4, atol=1e-5)


def test_weights_that_are_loaded_before_training_stay():
    model = residual()
    taylor = IterativeTaylor(model, 0.5, frequency=1)
    before = [weight.numpy() for weight in model.weights]
    assert taylor.plan.removed.size == 0
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.weights))
