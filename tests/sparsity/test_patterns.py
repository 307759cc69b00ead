import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfprune.sparsity.patterns import pattern_winners
from tfprune.sparsity.selection import Magnitude, keep_largest


def reference(scores, kept, m, axis):
    """The specification: a stable descending sort of every group by itself."""
    rows = np.moveaxis(np.asarray(scores), axis, -1)
    mask = np.zeros(rows.shape, bool)
    for index in np.ndindex(rows.shape[:-1]):
        for start in range(0, rows.shape[-1], m):
            group = rows[index][start : start + m]
            mask[index][start + np.argsort(-group, kind="stable")[:kept]] = True
    return np.moveaxis(mask, -1, axis)


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(max_dims=4, max_side=9),
        elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0, np.inf]),
    ),
    st.integers(1, 5),
    st.integers(1, 4),
    st.data(),
)
def test_winners_are_those_of_a_stable_sort_of_every_group(scores, kept, more, data):
    axis = data.draw(st.integers(-scores.ndim, scores.ndim - 1))
    found = pattern_winners(scores, kept, kept + more, axis)
    assert np.array_equal(found, reference(scores, kept, kept + more, axis))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("kept, m", [(2, 4), (3, 16), (5, 40)])
@pytest.mark.parametrize("shape", [(2, 50, 700), (3, 70_001, 1), (1, 3, 70_001), (300, 7, 33)])
def test_winners_of_large_arrays_are_those_of_a_stable_sort(shape, kept, m, axis):
    scores = np.random.default_rng(0).integers(-9, 9, shape).astype(np.float32)
    rows = np.moveaxis(np.abs(scores), axis, -1)
    padding = [(0, 0)] * 2 + [(0, -rows.shape[-1] % m)]
    groups = np.pad(rows, padding, constant_values=-1).reshape(*rows.shape[:-1], -1, m)
    order = np.argsort(-groups, axis=-1, kind="stable")
    expected = np.zeros(groups.shape, bool)
    np.put_along_axis(expected, order[..., :kept], True, axis=-1)
    expected = expected.reshape(*rows.shape[:-1], -1)[..., : rows.shape[-1]]
    found = pattern_winners(Magnitude(scores), kept, m, axis)
    assert np.array_equal(np.moveaxis(found, axis, -1), expected)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32", "uint8"])
def test_every_dtype_gives_the_winners_of_its_exact_values(dtype):
    scores = np.random.default_rng(0).integers(0, 9, (24, 5)).astype(dtype)
    exact = reference(scores.astype(float), 2, 4, 0)
    assert np.array_equal(pattern_winners(scores, 2, 4, 0), exact)


@given(st.integers(1, 80), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_what_comes_first_is_kept_before_any_score(size, seed):
    random = np.random.default_rng(seed)
    scores, first = random.integers(0, 4, size), random.random(size) < 0.3
    kept = int(random.integers(first.sum(), size + 1))
    expected = keep_largest(np.where(first, 9, scores), kept)
    assert np.array_equal(keep_largest(scores, kept, first=first), expected)
    assert (expected | ~first).all()
