"""Where tensorflow-model-optimization is wrong or differs: both results, side by side."""

import numpy as np
import pytest

from tests.support.compat import reference
from tests.support.compat.side_by_side import regression, steps_later, theirs, training
from tfprune.compat import tfmot


def test_update_here_at_step_k_sees_the_weights_of_an_update_there_at_k_plus_1():
    kernels = reference.random_kernels((16, 8))
    x, y = regression(16, 8, samples=6)
    once = ("ConstantSparsity", {"target_sparsity": 0.5, "begin_step": 3, "end_step": 3})
    ours = training(kernels, x, y, once, learning_rate=0.3)
    same = theirs(reference.training, kernels, x, y, once, learning_rate=0.3)
    later = theirs(reference.training, kernels, x, y, steps_later(once), learning_rate=0.3)
    first_sparse = [
        next(k for k, (mask,) in enumerate(run["masks"], 1) if not mask.all())
        for run in (ours, same, later)
    ]
    assert first_sparse == [3, 3, 4]  # with the same numbers, in the same training step
    np.testing.assert_array_equal(ours["masks"][-1][0], later["masks"][-1][0])
    assert (ours["masks"][-1][0] != same["masks"][-1][0]).any()


def test_default_schedule_prunes_at_once_here_and_not_before_step_100_there():
    kernels = reference.random_kernels((16, 8))
    x, y = regression(16, 8, samples=100)
    schedule = ("ConstantSparsity", {"target_sparsity": 0.5, "begin_step": 0})
    ours = training(kernels, x, y, schedule)
    other = theirs(reference.training, kernels, x, y, schedule)
    assert [float(mask.mean()) for (mask,) in ours["used"]] == [0.5] * 100
    assert [float(mask.mean()) for (mask,) in other["masks"]] == [1.0] * 99 + [0.5]


def test_span_not_divided_by_the_frequency_ends_at_the_target_here_only():
    arguments = {"initial_sparsity": 0.0, "final_sparsity": 0.8, "begin_step": 0, "end_step": 250}
    steps = list(range(1, 400))
    other, _ = theirs(reference.schedule_values, "PolynomialDecay", arguments, steps)
    schedule = tfmot.PolynomialDecay(**arguments)
    ours = [(step, schedule(step)[1]) for step in steps if schedule(step)[0]]
    fired = [(step, sparsity) for step, (prune, sparsity) in zip(steps, other) if prune]
    assert [step for step, _ in fired] == [100, 200]
    assert [step for step, _ in ours] == [100, 200, 250]
    assert fired[-1][1] == pytest.approx(0.7936, abs=1e-6)
    assert ours[-1][1] == 0.8


def test_equal_weights_are_pruned_here_and_all_kept_there():
    kernels = [np.ones((6, 4), np.float32)]
    x, y = np.zeros((1, 6), np.float32), np.zeros((1, 4), np.float32)
    schedule = ("ConstantSparsity", {"target_sparsity": 0.75, "begin_step": 1, "frequency": 1})
    assert theirs(reference.training, kernels, x, y, schedule)["masks"][-1][0].all()
    mask = training(kernels, x, y, schedule)["masks"][-1][0]
    assert mask.ravel().tolist() == [True] * 6 + [False] * 18


def test_blocks_that_do_not_divide_the_axis_are_scored_in_place_here_and_one_off_there():
    (kernel,) = reference.random_kernels((16, 30))
    kernel[:4, 3] = 9.0  # the last column of the first block
    x, y = np.zeros((1, 16), np.float32), np.zeros((1, 30), np.float32)
    schedule = ("ConstantSparsity", {"target_sparsity": 31 / 32, "begin_step": 1, "frequency": 1})
    options = {"block_size": (4, 4), "block_pooling_type": "MAX"}
    ours = training([kernel], x, y, schedule, options)
    other = theirs(reference.training, [kernel], x, y, schedule, options)
    first, second = np.zeros((2, 16, 30), bool)
    first[:4, :4] = second[:4, 4:8] = True
    np.testing.assert_array_equal(ours["masks"][-1][0], first)
    np.testing.assert_array_equal(other["masks"][-1][0], second)


def test_m_by_n_follows_the_schedule_here_and_ignores_it_there():
    kernels = reference.random_kernels((16, 8))
    x, y = regression(16, 8, samples=4)
    schedule = ("ConstantSparsity", {"target_sparsity": 0.25, "begin_step": 2})
    options = {"sparsity_m_by_n": (2, 4)}
    ours = training(kernels, x, y, schedule, options)
    other = theirs(reference.training, kernels, x, y, schedule, options)
    assert [float(mask.mean()) for (mask,) in other["masks"]] == [0.5] * 4
    assert [float(mask.mean()) for (mask,) in ours["masks"]] == [1.0, 0.5, 0.5, 0.5]


def test_masked_weight_may_come_back_here_and_is_zeroed_there():
    kernel = np.array([[1.0], [0.9]], np.float32)
    x, y = np.ones((4, 2), np.float32), np.zeros((4, 1), np.float32)
    schedule = ("ConstantSparsity", {"target_sparsity": 0.5, "begin_step": 1, "frequency": 1})
    ours = training([kernel], x, y, schedule, learning_rate=0.02)
    other = theirs(reference.training, [kernel], x, y, schedule, learning_rate=0.02)
    assert [mask.ravel().tolist() for (mask,) in other["masks"]] == [[True, False]] * 4
    assert [mask.ravel().tolist() for (mask,) in ours["masks"]][-1] == [False, True]


def test_original_model_is_untouched_here_and_changed_there():
    kernels = reference.random_kernels((16, 8))
    x, y = regression(16, 8, samples=4)
    schedule = ("ConstantSparsity", {"target_sparsity": 0.5, "begin_step": 1, "frequency": 1})
    ours = training(kernels, x, y, schedule)
    other = theirs(reference.training, kernels, x, y, schedule)
    np.testing.assert_array_equal(ours["original"][0], kernels[0])
    assert (other["original"][0] == 0).mean() == 0.5
