import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfprune
from tfprune.sparsity import distributions
from tfprune.sparsity.masks import make_masks
from tfprune.sparsity.selection import Magnitude, count_largest

SHAPES = {"conv": (3, 3, 8, 16), "dense": (256, 100), "out": (100, 10)}


@pytest.fixture
def scores():
    random = np.random.default_rng(0)
    scales = {"conv": 3.0, "dense": 1.0, "out": 0.2}
    return {
        name: np.abs(scales[name] * random.normal(size=shape)).astype("float32")
        for name, shape in SHAPES.items()
    }


def structures(structure=tfprune.Unstructured()):
    return dict.fromkeys(SHAPES, structure)


@pytest.mark.parametrize("name", distributions.names())
@pytest.mark.parametrize("target", [0.0, 0.3, 0.9, 0.98])
def test_every_distribution_reaches_the_target_over_all_weights(name, target, scores):
    wanted = distributions.get(name)(scores, target, structures())
    masks = make_masks(scores, wanted, structures())
    kept, size = sum(m.sum() for m in masks.values()), sum(m.size for m in masks.values())
    assert abs(kept - (1 - target) * size) <= len(SHAPES)
    assert all(mask.any() for mask in masks.values())


def test_global_distribution_is_one_threshold_over_all_layers(scores):
    wanted = distributions.get("global")(scores, 0.9, structures())
    masks = make_masks(scores, wanted, structures())
    lowest_kept = min(scores[name][mask].min() for name, mask in masks.items())
    highest_cut = max(scores[name][~mask].max() for name, mask in masks.items())
    # The best weight of every layer is kept in any case; "out" keeps few others.
    assert lowest_kept >= highest_cut or masks["out"].sum() == 1
    assert wanted["conv"] < wanted["dense"] < wanted["out"]


def test_global_distribution_counts_exactly_under_ties():
    equal = {name: np.ones(shape, "float32") for name, shape in SHAPES.items()}
    masks = make_masks(equal, distributions.get("global")(equal, 0.9, structures()), structures())
    size = sum(m.size for m in masks.values())
    assert sum(int(m.sum()) for m in masks.values()) == round(0.1 * size)


def test_global_distribution_never_cuts_a_layer_off(scores):
    scores["out"] *= 1e-6
    wanted = distributions.get("global")(scores, 0.95, structures())
    assert make_masks(scores, wanted, structures())["out"].sum() == 1


def test_global_distribution_ranks_channels_by_elements(scores):
    channels = structures(tfprune.Channel(-1))
    masks = make_masks(scores, distributions.get("global")(scores, 0.5, channels), channels)
    kept, size = sum(m.sum() for m in masks.values()), sum(m.size for m in masks.values())
    assert abs(kept / size - 0.5) <= 256 / size  # to within one channel


def test_global_distribution_refuses_n_of_m(scores):
    with pytest.raises(ValueError, match="N:M"):
        distributions.get("global")(scores, 0.5, structures(tfprune.NofM(2, 4)))


def test_erk_density_is_proportional_to_the_sum_over_the_product_of_the_shape(scores):
    wanted = distributions.get("erk")(scores, 0.9, structures())
    raw = {name: sum(shape) / np.prod(shape) for name, shape in SHAPES.items()}
    scale = (1 - wanted["dense"]) / raw["dense"]
    for name in SHAPES:
        assert 1 - wanted[name] == pytest.approx(min(1.0, scale * raw[name]))


def test_erk_cuts_densities_at_one_and_still_meets_the_target():
    scores = {"tiny": np.ones((2, 2)), "large": np.ones((100, 100))}
    wanted = distributions.get("erk")(scores, 0.5, {})
    assert wanted["tiny"] == 0.0
    assert wanted["large"] * 10_000 == pytest.approx(0.5 * 10_004)


def test_unknown_distributions_are_refused():
    with pytest.raises(ValueError, match="'uniform', 'erk', 'global'.*distribution='even'"):
        distributions.get("even")
    with pytest.raises(TypeError, match="distribution=3"):
        distributions.get(3)


def test_nan_is_named_by_the_global_distribution(scores):
    scores["dense"][3, 4] = np.nan
    with pytest.raises(ValueError, match="'dense'"):
        distributions.get("global")(scores, 0.5, structures())


@pytest.mark.parametrize("target", [0.1, 0.3, 0.45, 0.5])
def test_erk_asks_no_pattern_for_more_than_it_has_and_still_meets_the_target(target, scores):
    patterns = structures(tfprune.NofM(2, 4))
    wanted = distributions.get("erk")(scores, target, patterns)
    assert max(wanted.values()) <= 0.5 + 1e-12
    size = sum(values.size for values in scores.values())
    asked = sum(wanted[name] * values.size for name, values in scores.items())
    assert asked == pytest.approx(target * size, rel=1e-12)
    masks = make_masks(scores, wanted, patterns)
    removed = sum(np.count_nonzero(~mask) for mask in masks.values())
    assert abs(removed - target * size) <= len(SHAPES) / 2


def test_erk_gives_what_a_short_pattern_cannot_remove_to_the_others():
    scores = {"short": np.ones((6, 100)), "long": np.ones((8, 8))}
    free = distributions.get("erk")(scores, 0.34, {})
    wanted = distributions.get("erk")(scores, 0.34, dict.fromkeys(scores, tfprune.NofM(2, 4)))
    assert wanted["short"] == pytest.approx(1 / 3)  # 2 of every 6
    assert free["short"] > 0.35
    assert free["long"] < wanted["long"] <= 0.5
    assert wanted["short"] * 600 + wanted["long"] * 64 == pytest.approx(0.34 * 664)


def test_erk_refuses_a_total_that_the_structures_cannot_reach_with_the_numbers():
    scores = {"short": np.ones((6, 100)), "long": np.ones((8, 8))}
    most = (200 + 32) / 664
    with pytest.raises(ValueError, match=f"<= {most:.4g}.*2 weights.*0.5.*'short' at most 0.3333"):
        distributions.get("erk")(scores, 0.5, dict.fromkeys(scores, tfprune.NofM(2, 4)))


def brute_force(parts, kept):
    flat = np.concatenate([part.ravel() for part in parts]).astype(float)
    starts = np.cumsum([0, *(part.size for part in parts)])
    best = [start + int(np.argmax(part)) for start, part in zip(starts, parts)]
    flat[best] = np.inf
    order = np.argsort(-flat, kind="stable")
    order = [*best, *(i for i in order if i not in best)][:kept]
    return [sum(a <= i < b for i in order) for a, b in zip(starts, starts[1:])]


@given(
    st.lists(st.lists(st.sampled_from([-np.inf, -1, 0, 0.5, 3]), min_size=1), min_size=1),
    st.data(),
)
def test_counts_over_several_arrays_are_those_of_one_stable_sort(lists, data):
    parts = [np.array(values, "float32") for values in lists]
    size = sum(part.size for part in parts)
    kept = data.draw(st.integers(len(parts), size))
    assert count_largest(parts, kept) == brute_force(parts, kept)


def test_counts_over_large_arrays_are_those_of_one_sort():
    random = np.random.default_rng(0)
    parts = [random.normal(size=(300, 250)).astype("f4"), random.normal(size=90_001).astype("f4")]
    flat = np.sort(np.abs(np.concatenate([part.ravel() for part in parts])))
    for kept in (500, 80_000, 165_000, 165_001):
        expected = [int((np.abs(part) >= flat[-kept]).sum()) for part in parts]
        assert count_largest([Magnitude(part) for part in parts], kept) == expected
