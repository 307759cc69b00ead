"""What every structure must do, the four of this package and one of a user."""

import numpy as np
import pytest

import tfprune
from tests.support.scorers.diagonals import BareDiagonals, Diagonals
from tfprune.sparsity import distributions
from tfprune.sparsity.contract import (
    kept_in_group,
    pattern_sparsity,
    pooled_scores,
    require_structure,
)
from tfprune.sparsity.masks import make_mask
from tfprune.sparsity.selection import Magnitude
from tfprune.sparsity.structures import group_labels

STRUCTURES = [
    tfprune.Unstructured(),
    tfprune.Block(4, 1),
    tfprune.Block(3, 5, "max"),
    tfprune.NofM(2, 4),
    tfprune.NofM(1, 3, axis=-1),
    tfprune.Channel(-1),
    tfprune.Channel(0),
    Diagonals(),
    Diagonals(3),
    BareDiagonals(),
]
WHOLE = [structure for structure in STRUCTURES if not kept_in_group(structure)]
PATTERNS = [structure for structure in STRUCTURES if kept_in_group(structure)]
SHAPES = [(16, 12), (7, 10), (3, 3, 8, 6)]


def scores_of(shape, seed=0):
    return np.abs(np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_labels_number_the_groups_without_a_gap(structure, shape):
    labels = structure.labels(shape)
    assert labels.shape == shape and labels.dtype.kind in "iu"
    assert np.unique(labels).tolist() == list(range(labels.max() + 1))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("structure", WHOLE, ids=repr)
def test_groups_are_removed_whole_and_counted_exactly(structure, shape):
    labels = structure.labels(shape)
    groups = labels.max() + 1
    for sparsity in (0.0, 0.3, 0.5, 0.75):
        mask = make_mask(scores_of(shape), sparsity, structure=structure)
        kept = np.bincount(labels[mask], minlength=groups)
        assert set(kept) <= {0, *np.bincount(labels.ravel())}
        assert np.count_nonzero(kept) == max(1, round((1 - sparsity) * groups))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("structure", PATTERNS, ids=repr)
def test_a_pattern_has_its_largest_sparsity_and_no_fuller_group(structure, shape):
    scores, most = scores_of(shape), structure.largest_sparsity(shape)
    labels = structure.labels(shape).ravel()
    for sparsity in (most, pattern_sparsity(structure)):
        mask = make_mask(scores, sparsity, structure=structure)
        assert np.count_nonzero(~mask) == round(most * mask.size)
        expected = np.minimum(np.bincount(labels), structure.kept)
        assert np.array_equal(np.bincount(labels[mask.ravel()]), expected)


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_masks_are_nested_and_the_same_for_the_same_scores(structure):
    scores = scores_of((16, 12))
    most = min(0.75, structure.largest_sparsity(scores.shape))
    masks = [make_mask(scores, share * most, structure=structure) for share in (0, 0.4, 0.7, 1)]
    assert masks[0].all()
    assert all(not (later & ~earlier).any() for earlier, later in zip(masks, masks[1:]))
    assert np.array_equal(masks[2], make_mask(scores.copy(), 0.7 * most, structure=structure))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("structure", WHOLE, ids=repr)
def test_pooled_scores_come_in_the_order_of_the_labels(structure, shape):
    labels = structure.labels(shape)
    found = np.asarray(pooled_scores(structure, labels.astype(np.float32))).ravel()
    size = labels.size // (labels.max() + 1) if isinstance(structure, tfprune.Channel) else 1
    assert np.allclose(found, size * np.arange(labels.max() + 1))  # channels are sums


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_nan_is_named_whatever_the_structure(structure):
    scores = scores_of((16, 12))
    scores[3, 4] = np.nan
    with pytest.raises(ValueError, match="1 NaN of 192 in 'conv1/kernel'"):
        make_mask(scores, 0.25, structure=structure, name="conv1/kernel")


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_magnitudes_that_are_not_stored_give_the_same_mask(structure):
    w = np.random.default_rng(0).normal(size=(16, 12)).astype(np.float32)
    lazy = make_mask(Magnitude(w), 0.25, structure=structure)
    assert np.array_equal(lazy, make_mask(np.abs(w), 0.25, structure=structure))


@pytest.mark.parametrize("structure", WHOLE, ids=repr)
def test_one_threshold_over_several_weights_goes_with_every_structure(structure):
    scores = {"a": scores_of((16, 12)), "b": 3 * scores_of((16, 12), 1)}
    wanted = distributions.get("global")(scores, 0.5, dict.fromkeys(scores, structure))
    assert wanted["a"] > wanted["b"]
    assert (wanted["a"] + wanted["b"]) / 2 == pytest.approx(0.5, abs=0.13)


@pytest.mark.parametrize("structure", PATTERNS, ids=repr)
def test_no_pattern_goes_with_one_threshold(structure):
    with pytest.raises(ValueError, match="N:M structure, which removes the same share"):
        distributions.choose("global", "uniform", structure)
    assert distributions.choose(None, "global", structure) == "uniform"


def test_labels_are_none_where_every_entry_is_its_own_group():
    assert group_labels(tfprune.Unstructured(), (4, 4)) is None
    assert group_labels(tfprune.Block(1, 1), (4, 4)) is None
    assert group_labels(tfprune.Channel(), (4,)) is None


@pytest.mark.parametrize(
    "attribute, value, message",
    [
        ("labels", lambda shape: np.zeros(shape), "integers of shape"),
        ("labels", lambda shape: np.zeros(3, int), r"shape \(4, 4\).*shape \(3,\)"),
    ],
)
def test_labels_of_another_form_are_refused(attribute, value, message):
    structure = BareDiagonals()
    setattr(structure, attribute, value)
    with pytest.raises(ValueError, match=message):
        group_labels(structure, (4, 4))


@pytest.mark.parametrize(
    "mask", [np.ones((4, 4)), np.ones(16, bool), None, [[True] * 4] * 4], ids=lambda m: str(type(m))
)
def test_a_mask_of_another_form_is_refused(mask):
    structure = BareDiagonals()
    structure.mask = lambda scores, sparsity: mask
    with pytest.raises(ValueError, match="booleans of shape.*'w'.*BareDiagonals"):
        make_mask(np.ones((4, 4)), 0.5, structure=structure, name="w")


def test_more_than_a_structure_can_remove_is_refused_with_the_numbers():
    with pytest.raises(ValueError, match=r"<= 0.75 for .*shape \(4, 4\).*sparsity=0.9"):
        make_mask(np.ones((4, 4)), 0.9, structure=BareDiagonals())


@pytest.mark.parametrize("value", [Diagonals, tfprune.NofM, BareDiagonals, None, 0.5, "2:4", {}])
def test_what_is_no_structure_is_refused(value):
    with pytest.raises(TypeError, match="`structure` must be tfprune.Unstructured"):
        require_structure(value)
