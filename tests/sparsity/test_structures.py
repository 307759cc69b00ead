import numpy as np
import pytest

import tfprune
from tfprune.sparsity.masks import make_mask


def test_block_mask_removes_whole_blocks_and_counts_blocks_exactly():
    scores = np.abs(np.random.default_rng(0).normal(size=(16, 32)))
    mask = make_mask(scores, 0.75, structure=tfprune.Block(4, 4))
    blocks = mask.reshape(4, 4, 8, 4).sum((1, 3))
    assert set(blocks.reshape(-1)) == {0, 16}
    assert (blocks > 0).sum() == 8


def test_block_on_a_shape_it_does_not_divide_starts_at_zero_and_ends_short():
    scores = np.zeros((16, 30))
    scores[0, 28:] = 5.0  # the short block of columns 28 and 29
    mask = make_mask(scores, 0.97, structure=tfprune.Block(4, 4))
    assert mask[:4, 28:].all() and mask.sum() == 8


def test_average_pooling_of_a_short_block_is_over_its_own_entries():
    groups = tfprune.Block(1, 4).group_scores(np.array([[1.0, 1.0, 1.0, 1.0, 2.0, 2.0]]))
    assert groups.tolist() == [[1.0, 2.0]]


def test_block_as_wide_as_the_dimension_or_wider():
    scores = np.array([[1.0, 1.0], [9.0, 9.0], [2.0, 2.0]])
    for width in (2, 5):
        mask = make_mask(scores, 0.6, structure=tfprune.Block(1, width))
        assert mask.tolist() == [[False, False], [True, True], [False, False]]


def test_average_and_max_pooling_differ_as_named():
    scores = np.array([[9.0, 0.0, 5.0, 5.0]])
    assert make_mask(scores, 0.5, structure=tfprune.Block(1, 2, "max"))[0].tolist() == [1, 1, 0, 0]
    assert make_mask(scores, 0.5, structure=tfprune.Block(1, 2, "avg"))[0].tolist() == [0, 0, 1, 1]


def test_blocks_lie_over_input_and_output_axes_of_a_convolution():
    scores = np.abs(np.random.default_rng(0).normal(size=(3, 3, 8, 8)))
    mask = make_mask(scores, 0.5, structure=tfprune.Block(4, 1))
    assert set(mask.reshape(3, 3, 2, 4, 8).sum(3).reshape(-1)) == {0, 4}


def test_block_works_on_a_vector():
    mask = make_mask(np.array([1.0, 1.0, 3.0, 3.0]), 0.5, structure=tfprune.Block(1, 2))
    assert mask.tolist() == [False, False, True, True]


def test_n_of_m_keeps_the_largest_of_every_group_along_the_input_axis():
    scores = np.abs(np.random.default_rng(0).normal(size=(16, 6)))
    mask = make_mask(scores, 0.5, structure=tfprune.NofM(2, 4))
    groups = mask.reshape(4, 4, 6)
    assert (groups.sum(1) == 2).all()
    ranked = np.argsort(-scores.reshape(4, 4, 6), axis=1)[:, :2]
    assert np.take_along_axis(groups, ranked, axis=1).all()


def test_n_of_m_follows_the_schedule_with_exact_counts():
    scores = np.abs(np.random.default_rng(0).normal(size=(16, 6)))
    complete = make_mask(scores, 0.5, structure=tfprune.NofM(2, 4))
    previous = np.ones_like(complete)
    for sparsity in (0.0, 0.1, 0.3, 0.45, 0.5):
        mask = make_mask(scores, sparsity, structure=tfprune.NofM(2, 4))
        assert mask.sum() == round((1 - sparsity) * 96)
        assert not (complete & ~mask).any() and not (mask & ~previous).any()
        previous = mask


def test_n_of_m_ties_keep_the_lower_index():
    mask = make_mask(np.ones((4, 1)), 0.5, structure=tfprune.NofM(2, 4))
    assert mask[:, 0].tolist() == [True, True, False, False]


def test_n_of_m_keeps_at_most_n_in_a_short_last_group():
    mask = make_mask(np.ones((7, 2)), 0.5, structure=tfprune.NofM(2, 4))
    assert mask.sum(0).tolist() == [4, 4]
    assert mask[4:].sum(0).tolist() == [2, 2]


def test_n_of_m_along_another_axis():
    mask = make_mask(np.arange(8.0).reshape(2, 4), 0.5, structure=tfprune.NofM(1, 2, axis=-1))
    assert mask.astype(int).tolist() == [[0, 1, 0, 1], [0, 1, 0, 1]]


def test_n_of_m_cannot_go_beyond_its_pattern():
    with pytest.raises(ValueError, match="1 - kept/m = 0.5.*sparsity=0.6"):
        make_mask(np.ones((4, 4)), 0.6, structure=tfprune.NofM(2, 4))


def test_channel_masks_remove_whole_slices_by_their_sum():
    scores = np.ones((3, 3, 4, 5))
    scores[..., 2] = 2.0
    mask = make_mask(scores, 0.8, structure=tfprune.Channel(-1))
    assert mask.sum() == 36 and mask[..., 2].all()
    rows = make_mask(scores[0, 0], 0.5, structure=tfprune.Channel(0))
    assert rows.astype(int).sum(1).tolist() == [5, 5, 0, 0]


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: tfprune.Block(0, 4), ValueError, "height=0"),
        (lambda: tfprune.Block(4, -1), ValueError, "width=-1"),
        (lambda: tfprune.Block(4, 2.0), TypeError, "width=2.0"),
        (lambda: tfprune.Block(4, 4, "sum"), ValueError, "pooling='sum'"),
        (lambda: tfprune.Block(block_size=4), TypeError, "block_size"),
        (lambda: tfprune.NofM(4, 2), ValueError, "kept=4, m=2"),
        (lambda: tfprune.NofM(2, 2), ValueError, "kept=2, m=2"),
        (lambda: tfprune.NofM(0, 4), ValueError, "kept=0"),
        (lambda: tfprune.NofM(1.5, 4), TypeError, "kept=1.5"),
        (lambda: tfprune.Channel("out"), TypeError, "axis='out'"),
    ],
)
def test_structures_refuse_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_channel_axis_must_exist():
    with pytest.raises(ValueError, match=r"shape \(4, 4\).*axis=3"):
        make_mask(np.ones((4, 4)), 0.5, structure=tfprune.Channel(3))
