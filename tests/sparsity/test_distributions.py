import numpy as np
import pytest

import tfprune
from tfprune.sparsity import distributions
from tfprune.sparsity.masks import make_masks

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
