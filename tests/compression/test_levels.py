"""k-means in one dimension: the exact solution, and Lloyd's from each start."""

import itertools

import numpy as np
import pytest

from tfprune.compression.clustering import levels as k_means
from tfprune.compression.clustering.levels import STARTS, nearest_levels
from tfprune.compression.clustering.optimal import best_intervals


def _cost(x, mass, begins):
    total = 0.0
    for begin, end in itertools.pairwise([*begins, len(x)]):
        assert end > begin
        part, share = x[begin:end], mass[begin:end]
        mean = np.average(part, weights=share) if share.sum() else 0.0
        total += np.sum(share * (part - mean) ** 2)
    return total


def _least(x, mass, count):
    cuts = itertools.combinations(range(1, len(x)), count - 1)
    return min(_cost(x, mass, [0, *found]) for found in cuts)


@pytest.mark.parametrize("n", [1, 2, 5, 9, 10])
def test_the_intervals_are_the_best_of_all_partitions(n):
    random = np.random.default_rng(n)
    for count in range(1, n + 1):
        x = np.sort(random.normal(size=(3, n)).round(1), axis=1)  # with ties
        mass = random.uniform(size=(3, n)) * (random.uniform(size=(3, n)) > 0.2)
        for row, begins in enumerate(best_intervals(x, mass, count)):
            found = _cost(x[row], mass[row], begins)
            assert found == pytest.approx(_least(x[row], mass[row], count), abs=1e-12)


def _error(values, count, start, **options):
    index, found = nearest_levels(values[None], count, start, **options)
    assert index.min() >= 0 and len(np.unique(index)) <= count
    return np.mean((values - found[0][index[0]]) ** 2)


@pytest.mark.parametrize("start", ["linear", "density", "kmeans++", "random"])
def test_no_start_of_lloyd_is_better_than_the_exact_solution(start):
    values = np.random.default_rng(0).standard_t(3, size=500)
    assert _error(values, 8, "exact") <= _error(values, 8, start) < 1.0


def test_of_very_many_numbers_the_solution_is_within_a_thousandth_of_the_best(monkeypatch):
    values = np.random.default_rng(0).normal(size=20_000)
    best = _error(values, 16, "exact")
    monkeypatch.setattr(k_means, "_EXACT", 2**14)
    assert best <= _error(values, 16, "exact") <= 1.001 * best


def test_important_numbers_come_nearer_to_their_levels():
    values = np.array([[0.0, 1.0, 2.0, 10.0]])
    index, found = nearest_levels(values, 2, "fisher", weights=np.array([[0.0, 0.0, 12.0, 0.0]]))
    level = found[0][index[0, 2]]  # a third of the mean is 1: weights of 1, 1 and 13
    assert level == pytest.approx((0.0 + 1.0 + 13 * 2.0) / 15)
    index, found = nearest_levels(values, 2, "exact")
    assert found[0][index[0, 2]] == 1.0


@pytest.mark.parametrize("start", STARTS)
def test_as_many_levels_as_numbers_change_nothing(start):
    values = np.array([[3.0, -1.0, 3.0, 0.5]])
    index, found = nearest_levels(values, 16, start)
    np.testing.assert_array_equal(found[0][index], values)


@pytest.mark.parametrize("start", STARTS)
def test_rows_have_levels_of_their_own_from_the_numbers_that_count(start):
    random = np.random.default_rng(0)
    values = random.normal(size=(3, 40)) + 100.0 * np.arange(3)[:, None]
    kept = random.uniform(size=values.shape) > 0.4
    index, found = nearest_levels(values, 4, start, kept=kept, seed=1)
    for row in range(3):
        own = kept[row]
        alone = nearest_levels(values[row, own][None], 4, start, seed=1)
        np.testing.assert_array_equal(index[row, own], alone[0][0])
        np.testing.assert_allclose(found[row], alone[1][0])
