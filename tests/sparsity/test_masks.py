import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tfprune
from tfprune.sparsity.masks import kept_count, make_mask
from tfprune.sparsity.selection import Magnitude, keep_largest


def reference(scores, kept):
    """The specification: a stable descending sort; the lower flat index wins among equals."""
    flat = np.asarray(scores).reshape(-1)
    mask = np.zeros(flat.size, bool)
    mask[np.argsort(-flat, kind="stable")[:kept]] = True
    return mask.reshape(np.shape(scores))


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(max_dims=4, max_side=12),
        elements=st.floats(-8, 8, width=16).map(lambda x: round(x * 2) / 2),
    ),
    st.floats(0, 0.999),
)
def test_mask_count_is_exact_under_ties(scores, sparsity):
    mask = make_mask(scores, sparsity)
    assert mask.dtype == bool and mask.shape == scores.shape
    assert mask.sum() == max(1, round((1 - sparsity) * scores.size))
    assert np.array_equal(mask, reference(scores, int(mask.sum())))


@pytest.mark.parametrize("size", [50_000, 200_001])
@pytest.mark.parametrize(
    "make",
    [
        lambda random, size: random.normal(size=size),
        lambda random, size: np.zeros(size),
        lambda random, size: np.full(size, 3.25),
        lambda random, size: random.integers(-3, 4, size).astype(float),
        lambda random, size: np.where(random.random(size) < 0.7, 0.0, random.normal(size=size)),
        lambda random, size: np.sort(random.normal(size=size)),
        lambda random, size: np.where(np.arange(size) % 997 == 0, np.inf, -1.0),
    ],
    ids=["normal", "zeros", "equal", "seven-level", "mostly-zero", "sorted", "infinite"],
)
@pytest.mark.parametrize("sparsity", [0.0001, 0.5, 0.9, 0.9999])
def test_large_masks_equal_a_stable_sort(make, size, sparsity):
    scores = make(np.random.default_rng(1), size).astype("float32")
    expected = reference(np.abs(scores), kept_count(size, sparsity))
    assert np.array_equal(make_mask(Magnitude(scores), sparsity), expected)


def test_33_million_weights_are_counted_exactly():
    size = 33_000_001  # above 2**24, where a float32 count is off by one
    scores = np.zeros(size, np.float32)
    scores[::3] = 1.0
    kept = int(make_mask(scores, 0.1).sum())
    assert kept == 29_700_001 == round(0.9 * size)
    assert kept != int(np.float32(size) * np.float32(0.9))


def test_at_least_one_weight_is_kept():
    assert make_mask(np.array([1.0, 3.0, 2.0]), 0.99).tolist() == [False, True, False]


@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_masks_are_nested_as_sparsity_grows(size, seed):
    scores = np.random.default_rng(seed).integers(0, 5, size).astype("float32")
    masks = [make_mask(scores, s) for s in (0.0, 0.2, 0.5, 0.8, 0.95)]
    assert all(not (later & ~earlier).any() for earlier, later in zip(masks, masks[1:]))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32"])
def test_every_dtype_gives_the_mask_of_its_exact_values(dtype):
    scores = np.random.default_rng(0).integers(-9, 9, 70_000).astype(dtype)
    assert np.array_equal(keep_largest(scores, 7_000), reference(scores.astype("float64"), 7_000))


def test_scores_are_not_changed():
    scores = np.array([3.0, -1.0, 2.0])
    make_mask(Magnitude(scores), 0.5)
    assert scores.tolist() == [3.0, -1.0, 2.0]


@pytest.mark.parametrize("size", [10, 100_000])
def test_nan_scores_are_refused_by_name(size):
    scores = np.ones(size, np.float32)
    scores[3] = np.nan
    for structure in (tfprune.Unstructured(), tfprune.Block(2, 2), tfprune.NofM(1, 2)):
        with pytest.raises(ValueError, match=rf"1 NaN of {size} in 'conv1/kernel'"):
            make_mask(scores.reshape(2, -1), 0.5, structure=structure, name="conv1/kernel")


def test_bad_arguments_are_refused_with_the_value():
    scores = np.ones((4, 4))
    for sparsity in (1.0, -0.1, 90):
        with pytest.raises(ValueError, match=f"sparsity={sparsity}"):
            make_mask(scores, sparsity)
    with pytest.raises(TypeError, match="structure=4"):
        make_mask(scores, 0.5, structure=4)
    with pytest.raises(ValueError, match="empty"):
        make_mask(np.ones((0, 3)), 0.5)
    with pytest.raises(TypeError, match="sructure"):
        make_mask(scores, 0.5, sructure=tfprune.Unstructured())
