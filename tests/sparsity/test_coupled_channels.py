"""Scores of coupled channels: whole axes, parts of an axis, and what others have decided."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfprune.sparsity.coupled_channels import join_channels, join_sparsities, kept_channels
from tfprune.sparsity.masks import make_masks
from tfprune.sparsity.structures import Channel


def scores_of(widths, seed=0):
    draws = np.random.default_rng(seed)
    return {name: draws.random((3, width)) for name, width in widths.items()}


def kept_of(scores, coupled, sparsities, structures=None, **options):
    structures = structures or dict.fromkeys(scores, Channel())
    joined = join_channels(scores, structures, coupled, **options)
    masks = make_masks(joined, sparsities, structures)
    return {name: kept_channels(mask, structures[name]) for name, mask in masks.items()}


@given(seed=st.integers(0, 1000), half=st.integers(1, 6))
def test_a_weight_over_a_concatenation_loses_what_the_branches_lose(seed, half):
    coupled = {"a": np.arange(8), "b": np.arange(8, 20), "both": np.arange(20)}
    scores = scores_of({"a": 8, "b": 12, "both": 20}, seed)
    kept = kept_of(scores, coupled, dict.fromkeys(scores, half / 8))
    if half % 2 == 0:  # of 12 channels too, a whole number goes
        assert np.array_equal(kept["both"], np.concatenate([kept["a"], kept["b"]]))
    assert [kept[name].sum() for name in scores] == [
        round((1 - half / 8) * coupled[name].size) for name in scores
    ]


def test_each_part_keeps_the_channels_with_the_highest_sums():
    coupled = {"a": np.array([1, 2]), "both": np.array([1, 2, 3, 4]), "b": np.array([3, 4])}
    scores = {
        "a": np.array([[1.0, 5.0]]),
        "b": np.array([[90.0, 70.0]]),
        "both": np.array([[6.0, 1.0, 10.0, 20.0]]),
    }
    joined = join_channels(scores, dict.fromkeys(scores, Channel()), coupled)
    assert joined["a"].tolist() == [[7.0, 6.0]] and joined["b"].tolist() == [[100.0, 90.0]]
    # The same numbers as the sums, 7, 6, 100 and 90, with the best of both parts in front.
    assert joined["both"].tolist() == [[100.0, 7.0, 90.0, 6.0]]


def test_a_permutation_of_channels_is_followed():
    coupled = {"a": np.array([1, 2, 3]), "b": np.array([3, 1, 2])}
    scores = {"a": np.array([[1.0, 2.0, 3.0]]), "b": np.array([[30.0, 10.0, 20.0]])}
    joined = join_channels(scores, dict.fromkeys(scores, Channel()), coupled)
    assert joined["a"].tolist() == [[11.0, 22.0, 33.0]]
    assert joined["b"].tolist() == [[33.0, 11.0, 22.0]]


def test_channels_on_other_axes_are_joined_along_them():
    coupled = dict.fromkeys("ab", np.arange(2))
    scores = {"a": np.array([[1.0, 5.0]]), "b": np.array([[1.0, 1.0], [3.0, 3.0]])}
    joined = join_channels(scores, {"a": Channel(), "b": Channel(0)}, coupled)
    assert joined["a"].tolist() == [[3.0, 11.0]]
    assert joined["b"].tolist() == [[1.5, 1.5], [5.5, 5.5]]


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.75])
def test_what_others_have_removed_goes_first(sparsity):
    coupled, scores = dict.fromkeys("ab", np.arange(8)), scores_of({"a": 8})
    first = np.array([True, False] * 4)
    kept = kept_of(scores, coupled, {"a": sparsity}, decided={"b": first})["a"]
    nested = kept <= first if sparsity >= 0.5 else first <= kept
    assert nested.all() and kept.sum() == 8 * (1 - sparsity)


def test_what_more_of_the_others_have_removed_goes_before_what_fewer_have():
    coupled, scores = dict.fromkeys("abc", np.arange(4)), {"a": np.array([[9.0, 8.0, 7.0, 6.0]])}
    decided = {"b": np.array([False, False, True, True]), "c": np.array([False, True, True, True])}
    joined = join_channels(scores, {"a": Channel()}, coupled, decided=decided)
    assert joined["a"].tolist() == [[6.0, 7.0, 9.0, 8.0]]


def test_parts_that_have_lost_more_are_followed_as_those_that_have_lost_less():
    coupled = {"a": np.arange(8), "b": np.arange(8, 16), "both": np.arange(16)}
    decided = {"a": np.arange(8) >= 2, "b": np.arange(8) >= 6}
    kept = kept_of(scores_of({"both": 16}), coupled, {"both": 0.5}, decided=decided)
    assert np.array_equal(kept["both"], np.concatenate([decided["a"], decided["b"]]))


def test_what_is_out_stays_out_whatever_others_keep():
    coupled, scores = dict.fromkeys("ab", np.arange(3)), {"a": np.array([[-np.inf, 2.0, 1.0]])}
    decided = {"b": np.array([True, False, True])}
    joined = join_channels(scores, {"a": Channel()}, coupled, decided=decided)
    assert joined["a"].tolist() == [[-np.inf, 1.0, 2.0]]


def test_branches_have_one_sparsity_only_through_what_is_pruned_with_them():
    coupled = {"a": np.array([1, 2]), "b": np.array([3, 4]), "both": np.array([1, 2, 3, 4])}
    scores = scores_of({"a": 2, "b": 2, "both": 4})
    asked = {"a": 0.0, "b": 0.5, "both": 0.5}
    assert join_sparsities(asked, scores, coupled) == dict.fromkeys(asked, 0.375)
    del scores["both"], asked["both"]
    assert join_sparsities(asked, scores, coupled) == asked


def test_scores_of_a_whole_group_are_not_added_up_again():
    class Together:
        joins_coupled = True

    coupled = {"a": np.array([1, 2]), "b": np.array([2, 3])}
    scores = {"a": np.array([[1.0, 4.0]]), "b": np.array([[2.0, 9.0]])}
    channels = dict.fromkeys("ab", Channel())
    joined = join_channels(scores, channels, coupled, Together())
    assert sorted(joined["a"].ravel()) == [1.0, 3.0] and sorted(joined["b"].ravel()) == [3.0, 9.0]
