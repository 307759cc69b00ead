import numpy as np
import pytest

from tests.support.scorers.removal_by_hand import best_loss, brute_force, positive_definite
from tfprune.scorers.reconstruction import removal
from tfprune.scorers.reconstruction.block_removal import remove_blocks
from tfprune.scorers.reconstruction.refit import refit_rows
from tfprune.scorers.reconstruction.removal import Quotas, remove_elements


@pytest.mark.parametrize("steps", [1, 3, 64])
def test_each_step_is_the_best_one_from_a_fresh_inverse(steps, monkeypatch):
    monkeypatch.setattr(removal, "_FEWEST", steps)
    rng = np.random.default_rng(1)
    h, w = positive_definite(rng, 8, groups=2), rng.normal(size=(6, 8))
    groups = np.array([0, 0, 0, 1, 1, 1])
    order, losses = remove_elements(w, h, groups, memory=1)
    at_once = remove_elements(w, h, groups)
    for row in range(6):
        wanted, costs = brute_force(w[row], h[groups[row]])
        assert order[row].tolist() == wanted
        np.testing.assert_allclose(losses[row], costs, rtol=1e-7, atol=1e-9)
    assert np.array_equal(at_once[0], order)


def test_quotas_restrict_each_step_to_the_best_allowed_one():
    rng = np.random.default_rng(2)
    h, w = positive_definite(rng, 8), rng.normal(size=(3, 8))
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    allowed = np.array([2, 1, 0])
    quotas = Quotas(np.tile(labels, (3, 1)), np.tile(allowed, (3, 1)))
    order, losses = remove_elements(w, h, np.zeros(3, int), quotas=quotas)
    for row in range(3):
        wanted, costs = brute_force(
            w[row],
            h[0],
            lambda removed, q: (
                (labels[removed] == labels[q]).sum() < allowed[labels[q]]
                if removed
                else allowed[labels[q]] > 0
            ),
        )
        assert order[row].tolist() == wanted
        np.testing.assert_allclose(losses[row], costs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("size, precision", [(120, 1e-8), (150, 1e-4)])
def test_losses_of_all_steps_add_up_to_the_whole_output(size, precision):
    rng = np.random.default_rng(3)
    h, w = positive_definite(rng, size), rng.normal(size=(4, size))
    order, losses = remove_elements(w, h, np.zeros(4, int))
    assert np.array_equal(np.sort(order, axis=1), np.tile(np.arange(size), (4, 1)))
    np.testing.assert_allclose(losses.sum(axis=1), np.sum((w @ h[0]) * w, axis=1), rtol=precision)


def test_blocks_are_removed_by_their_joint_loss():
    rng = np.random.default_rng(4)
    h, w = positive_definite(rng, 8)[0], rng.normal(size=(8, 3))
    labels = np.array([0, 0, 1, 1, 2, 2, 2, 3])
    order, losses = remove_blocks(w, np.linalg.inv(h), labels)
    gone, total = [], 0.0
    for block, loss in zip(order, losses):
        costs = {}
        for candidate in set(range(4)) - set(gone):
            removed = np.flatnonzero(np.isin(labels, [*gone, candidate]))
            joint = sum(best_loss(column, h, removed) for column in w.T)
            costs[candidate] = (joint - total) / (labels == candidate).sum(), joint
        assert block == min(costs, key=costs.get)
        assert loss == pytest.approx(costs[block][1] - total, rel=1e-7)
        gone.append(int(block))
        total = costs[int(block)][1]


def test_blocks_of_one_weight_go_in_the_order_of_elements():
    rng = np.random.default_rng(5)
    h, w = positive_definite(rng, 40), rng.normal(size=(1, 40))
    order, losses = remove_elements(w, h, np.zeros(1, int))
    of_blocks = remove_blocks(w.T, np.linalg.inv(h)[0], np.arange(40))
    assert np.array_equal(order[0], of_blocks[0])
    np.testing.assert_allclose(losses[0], of_blocks[1], rtol=1e-8)


@pytest.mark.parametrize("size", [8, 70])  # rows side by side, and one factorization a pattern
@pytest.mark.parametrize("shared", [False, True])
def test_refit_is_the_least_squares_solution(size, shared):
    rng = np.random.default_rng(6)
    x = rng.normal(size=(200, size)) @ rng.normal(size=(size, size))
    w = rng.normal(size=(5, size))
    kept = np.tile(rng.random(size) < 0.5, (5, 1)) if shared else rng.random((5, size)) < 0.5
    if not shared:
        kept[0], kept[1] = True, False
    new = refit_rows(w, kept, (x.T @ x)[None], np.zeros(5, int))
    for row in range(5):
        wanted = np.linalg.lstsq(x[:, kept[row]], x @ w[row], rcond=None)[0]
        np.testing.assert_allclose(new[row, kept[row]], wanted, rtol=1e-6, atol=1e-8)
        assert not new[row, ~kept[row]].any()


def test_joined_steps_lose_hardly_more_than_single_ones(monkeypatch):
    """In single precision, too: 300 correlated inputs, from which 64 columns at a time go."""
    rng = np.random.default_rng(7)
    x = np.maximum(rng.normal(size=(900, 300)) + rng.normal(size=(900, 1)), 0.0)
    h, w = (x.T @ x / 900 + 0.01 * np.eye(300))[None], rng.normal(size=(6, 300))
    assert removal._precision(h, np.linalg.inv(h)) == np.float32
    joined = remove_elements(w, h, np.zeros(6, int))
    monkeypatch.setattr(removal, "_SHARE", 1e-9)
    monkeypatch.setattr(removal, "_DOUBLE", 300)
    single = remove_elements(w, h, np.zeros(6, int))
    for removed in (150, 240, 270):
        total = [losses[:, :removed].sum() for _, losses in (joined, single)]
        assert total[0] < 1.02 * total[1]
    np.testing.assert_allclose(joined[1].sum(), np.sum((w @ h[0]) * w), rtol=1e-3)


def test_ill_conditioned_inputs_are_worked_on_in_double_precision():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(400, 20)) @ rng.normal(size=(20, 150))
    h = x.T @ x / 400 + 1e-3 * np.eye(150)
    assert removal._precision(h[None], np.linalg.inv(h)[None]) == np.float64
    w = rng.normal(size=(2, 150))
    order, losses = remove_elements(w, h[None], np.zeros(2, int))
    assert np.array_equal(np.sort(order, axis=1), np.tile(np.arange(150), (2, 1)))
    np.testing.assert_allclose(losses.sum(axis=1), np.sum((w @ h) * w, axis=1), rtol=1e-6)


def test_quotas_hold_where_steps_are_joined():
    rng = np.random.default_rng(9)
    h, w = positive_definite(rng, 256), rng.normal(size=(3, 256))
    labels = np.tile(np.arange(256) // 4, (3, 1))
    quotas = Quotas(labels, np.full((3, 64), 2))
    order, _ = remove_elements(w, h, np.zeros(3, int), quotas=quotas)
    for row in order:
        assert (np.bincount(row[:128] // 4) == 2).all()
