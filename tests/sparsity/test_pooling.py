import numpy as np
import pytest

import tfprune
from tfprune.sparsity.pooling import pool_blocks, sum_slices
from tfprune.sparsity.selection import Magnitude


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("height, width", [(4, 1), (1, 4), (3, 5), (40, 2), (2, 50), (900, 1)])
@pytest.mark.parametrize("shape", [(701, 203), (3, 3, 50, 61), (70_001,), (2, 100_003)])
def test_every_block_has_the_mean_or_the_largest_of_its_own_entries(shape, height, width, pooling):
    w = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    labels = tfprune.Block(height, width).labels(shape).ravel()
    exact = np.abs(w.ravel()).astype(float)
    if pooling == "avg":
        expected = np.bincount(labels, weights=exact) / np.bincount(labels)
    else:
        expected = np.zeros(labels.max() + 1)
        np.maximum.at(expected, labels, exact)
    for scores in (np.abs(w), Magnitude(w)):
        found = pool_blocks(scores, height, width, pooling).ravel()
        assert np.allclose(found, expected, rtol=2e-6)


def test_means_of_half_precision_scores_are_not_rounded_to_it():
    scores = np.array([[2048.0, 1.0], [2048.0, 3.0]], np.float16)
    assert pool_blocks(scores, 1, 2, "avg").ravel().tolist() == [1024.5, 1025.5]


@pytest.mark.parametrize("shape", [(701, 203), (3, 3, 50, 61), (70_001,), (2, 100_003), (5, 1, 7)])
def test_every_slice_has_the_sum_of_its_own_entries(shape):
    w = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for axis in range(-len(shape), len(shape)):
        others = tuple(np.delete(np.arange(len(shape)), axis))
        expected = np.abs(w).sum(axis=others, dtype=float)
        assert np.allclose(sum_slices(Magnitude(w), axis), expected, rtol=1e-5)
        assert np.allclose(sum_slices(np.abs(w), axis), expected, rtol=1e-5)


def test_scores_are_not_changed():
    scores = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    pool_blocks(scores, 2, 2, "avg")
    pool_blocks(scores, 1, 1, "max")
    sum_slices(scores, 0)
    assert scores.ravel().tolist() == list(range(12))
