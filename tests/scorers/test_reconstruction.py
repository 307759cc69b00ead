import dataclasses

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fake_evidence import FakeEvidence
from tests.support.scorers.removal_by_hand import best_loss
from tfprune.layer_classes.products import product_of
from tfprune.layer_classes.weight_axes import Operand, convolution, depthwise, matrix
from tfprune.layer_classes.windows import Windows
from tfprune.scorers.inputs import LayerInputs
from tfprune.scorers.reconstruction.block_removal import remove_blocks
from tfprune.scorers.reconstruction.removal import remove_elements
from tfprune.scorers.reconstruction.scorer import Reconstruction
from tfprune.sparsity.masks import make_mask
from tfprune.sparsity.patterns import pattern_winners
from tfprune.sparsity.structures import Block, Channel, NofM, Unstructured

LINE = Windows((3,), (1,), (1,), "valid")


def inputs_of(x, layout):
    return LayerInputs(*layout.moments(x), layout.to_matrix, layout.from_matrix)


def evidence_for(x, w, *, structure=Unstructured(), layout=None, mask=None):
    layout = layout or product_of(matrix(), w.shape)
    return FakeEvidence(
        {"w": np.zeros((1, *w.shape))},
        structures={"w": structure},
        masks=None if mask is None else {"w": mask},
        inputs={"w": inputs_of(x, layout)},
    )


def problem(seed=0, shape=(12, 6), examples=100):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(examples, shape[0])) @ rng.normal(size=(shape[0], shape[0]))
    return x, rng.normal(size=shape).astype("float32")


def error(x, w, new):
    return float(np.sum((x @ (np.float64(w) - new)) ** 2) / np.sum((x @ np.float64(w)) ** 2))


def test_scores_add_up_to_the_relative_error_of_the_layer():
    x, w = problem()
    # With so little damping and no cost below an earlier one, scores are the errors themselves.
    scores = Reconstruction(damping=1e-9)({"w": w}, evidence_for(x, w))["w"]
    assert scores.dtype == np.float64 and scores.max() > 0.05
    mask = make_mask(scores, 0.5)
    new = Reconstruction(damping=1e-9).compensate({"w": w}, evidence_for(x, w), {"w": mask})["w"]
    assert error(x, w, new) <= scores[~mask].sum() * (1 + 1e-6)


def test_without_correlation_the_order_is_that_of_magnitudes():
    w = np.random.default_rng(1).normal(size=(6, 4)).astype("float32")
    x = 3.0 * np.eye(6)
    scores = Reconstruction()({"w": w}, evidence_for(x, w))["w"]
    assert np.array_equal(np.argsort(scores.ravel()), np.argsort(np.abs(w).ravel()))
    kept = {"w": np.abs(w) > 0.5}
    new = Reconstruction().compensate({"w": w}, evidence_for(x, w), kept)["w"]
    np.testing.assert_allclose(new, w * kept["w"], rtol=1e-6)


def test_reconstruction_beats_magnitude_and_refitted_magnitude():
    x, w = problem(shape=(40, 10), examples=400)
    evidence, scorer = evidence_for(x, w), Reconstruction()
    by_size, by_cost = make_mask(np.abs(w), 0.5), make_mask(scorer({"w": w}, evidence)["w"], 0.5)
    refitted, both = (
        scorer.compensate({"w": w}, evidence, {"w": mask})["w"] for mask in (by_size, by_cost)
    )
    assert error(x, w, both) < 0.5 * error(x, w, refitted) < 0.5 * error(x, w, w * by_size)


@pytest.mark.parametrize("rows", ["layer", "row"])
@settings(max_examples=20, deadline=None)
@given(sparsity=st.floats(0.0, 0.95), seed=st.integers(0, 5))
def test_every_threshold_removes_a_prefix_of_the_greedy_order(rows, sparsity, seed):
    x, w = problem(seed, shape=(9, 4))
    scorer = Reconstruction(rows=rows)
    mask = make_mask(scorer({"w": w}, evidence_for(x, w))["w"], sparsity)
    h = x.T @ x / len(x)
    h += 0.01 * np.mean(np.diag(h)) * np.eye(9)
    order, _ = remove_elements(np.float64(w.T), h[None], np.zeros(4, int))
    for column, steps in enumerate(order):
        removed = int((~mask[:, column]).sum())
        assert set(steps[:removed]) == set(np.flatnonzero(~mask[:, column]))


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.6, 0.9])
def test_row_masks_have_equal_counts(sparsity):
    x, w = problem(shape=(20, 7))
    scores = Reconstruction(rows="row")({"w": w}, evidence_for(x, w))["w"]
    counts = make_mask(scores, sparsity).sum(axis=0)
    assert counts.max() - counts.min() <= 1
    layer = make_mask(Reconstruction()({"w": w}, evidence_for(x, w))["w"], sparsity)
    assert layer.sum() == counts.sum() and layer.sum(axis=0).std() > counts.std()


@pytest.mark.parametrize("pattern", [NofM(2, 4), NofM(1, 4), NofM(3, 5)])
@pytest.mark.parametrize("rows", ["layer", "row"])
def test_patterns_lose_what_greedy_removal_within_them_loses(pattern, rows):
    x, w = problem(shape=(18, 5))  # the last set of each column is shorter
    scores = Reconstruction(rows=rows)({"w": w}, evidence_for(x, w, structure=pattern))["w"]
    lost = ~pattern_winners(scores, pattern.kept, pattern.m, pattern.axis)
    h = x.T @ x / len(x)
    h += 0.01 * np.mean(np.diag(h)) * np.eye(18)
    labels = np.arange(18) // pattern.m
    quota = np.maximum(np.bincount(labels) - pattern.kept, 0)
    for column in range(5):
        removed = []
        while len(removed) < quota.sum():
            fits = [
                q
                for q in range(18)
                if q not in removed and (labels[removed] == labels[q]).sum() < quota[labels[q]]
            ]
            fits.sort(key=lambda q: best_loss(np.float64(w[:, column]), h, [*removed, q]))
            removed.append(fits[0])
        assert set(np.flatnonzero(lost[:, column])) == set(removed)


def test_patterns_of_convolutions_run_along_the_input_channels():
    rng = np.random.default_rng(8)
    layout = product_of(convolution(LINE), (3, 4, 6))
    x, w = rng.normal(size=(20, 7, 4)), rng.normal(size=(3, 4, 6)).astype("float32")
    evidence = evidence_for(x, w, structure=NofM(1, 2), layout=layout)
    mask = make_mask(Reconstruction()({"w": w}, evidence)["w"], 0.5, structure=NofM(1, 2))
    assert (mask.reshape(3, 2, 2, 6).sum(axis=2) == 1).all()


STRUCTURES = [
    Block(1, 4),
    Block(4, 1),
    Block(2, 4),
    Block(4, 4, "max"),
    Channel(-1),
    Channel(0),
    NofM(2, 4, axis=-1),
    NofM(2, 4),
]


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("rows", ["layer", "row"])
def test_structures_are_pruned_with_less_error_than_by_magnitude_on_average(structure, rows):
    errors, others = [], []
    for seed in range(20):
        x, w = problem(seed, shape=(12, 8), examples=300)
        evidence, scorer = evidence_for(x, w, structure=structure), Reconstruction(rows=rows)
        mask = make_mask(scorer({"w": w}, evidence)["w"], 0.5, structure=structure)
        by_size = make_mask(np.abs(w), 0.5, structure=structure)
        assert mask.sum() == by_size.sum()
        new, other = (scorer.compensate({"w": w}, evidence, {"w": m})["w"] for m in (mask, by_size))
        errors.append(error(x, w, new))
        others.append(error(x, w, other))
    assert np.mean(errors) < np.mean(others)


def test_smaller_blocks_at_the_edges_compete_by_their_cost_a_weight():
    x, w = problem(shape=(11, 7))
    structure = Block(4, 3)
    scores = Reconstruction(damping=1e-9)({"w": w}, evidence_for(x, w, structure=structure))["w"]
    blocks = structure.group_scores(scores)
    assert blocks.shape == (3, 3)
    np.testing.assert_allclose(scores, np.kron(blocks, np.ones((4, 3)))[:11, :7], rtol=1e-12)
    last = w[:, 6].astype(np.float64)  # a block column of one output
    order, losses = remove_blocks(last[:, None], np.linalg.inv(x.T @ x), np.arange(11) // 4)
    first = losses[0] / np.sum((x @ np.float64(w)) ** 2) / (4, 4, 3)[order[0]]
    assert blocks[order[0], 2] == pytest.approx(first, rel=1e-5)


def test_a_channel_costs_its_share_of_the_output():
    x, w = problem(shape=(6, 4))
    scores = Reconstruction(damping=1e-12)({"w": w}, evidence_for(x, w, structure=Channel()))["w"]
    energy = np.sum((x @ np.float64(w)) ** 2, axis=0)
    np.testing.assert_allclose(scores.sum(axis=0), energy / energy.sum(), rtol=1e-8)


def test_blocks_across_groups_fall_back_to_single_weights():
    rng = np.random.default_rng(9)
    layout = product_of(depthwise(LINE), (3, 4, 2))
    x, w = rng.normal(size=(20, 7, 4)), rng.normal(size=(3, 4, 2)).astype("float32")
    single, blocks = (
        Reconstruction()({"w": w}, evidence_for(x, w, structure=structure, layout=layout))["w"]
        for structure in (Unstructured(), Block(2, 1))
    )
    assert np.array_equal(single, blocks)
    within = evidence_for(x, w, structure=Block(1, 2), layout=layout)
    pairs = Reconstruction()({"w": w}, within)["w"]
    assert np.array_equal(pairs[..., 0], pairs[..., 1]) and len(np.unique(pairs)) == 12


def test_rare_tokens_are_pruned_before_frequent_ones():
    w = np.ones((5, 3), "float32")
    layout = product_of(matrix(Operand.TOKENS), w.shape)
    evidence = evidence_for(np.array([0, 0, 0, 2, 4, 4]), w, layout=layout)
    scores = Reconstruction()({"w": w}, evidence)["w"]
    assert (np.diff(scores[[1, 2, 4, 0]], axis=0) > 0).all()
    assert (scores[1] == scores[3]).all() and (scores > 0).all()


def test_dead_inputs_and_deficient_rank_give_finite_scores_and_weights():
    x, w = problem(shape=(12, 6), examples=4)
    x[:, 3] = 0.0
    w[5] = 0.0
    for seen in (x, np.zeros_like(x), 1e-20 * x, 1e12 * x):
        evidence = evidence_for(seen, w)
        scores = Reconstruction()({"w": w}, evidence)["w"]
        assert np.isfinite(scores).all() and (scores >= 0).all()
        mask = {"w": make_mask(scores, 0.6)}
        assert np.isfinite(Reconstruction().compensate({"w": w}, evidence, mask)["w"]).all()
    scores = Reconstruction()({"w": w}, evidence_for(x, w))["w"]
    mask = {"w": make_mask(scores, 0.6)}
    new = Reconstruction(damping=1e-6).compensate({"w": w}, evidence_for(x, w), mask)["w"]
    assert error(x, w, new) < 1e-3  # about five weights an output for four examples


def test_weights_of_dead_inputs_go_first():
    x, w = problem()
    x[:, [3, 7]] = 0.0
    scores = Reconstruction(damping=1e-9)({"w": w}, evidence_for(x, w))["w"]
    assert scores[[3, 7]].max() < np.delete(scores, [3, 7], axis=0).min()


def test_all_zero_weights_score_zero():
    x, w = problem()
    scores = Reconstruction()({"w": 0 * w}, evidence_for(x, w))["w"]
    assert not scores.any()


def test_masked_weights_stay_out():
    x, w = problem()
    mask = np.random.default_rng(0).random(w.shape) < 0.7
    evidence = evidence_for(x, w, mask=mask)
    scores = Reconstruction()({"w": w}, evidence)["w"]
    assert not scores[~mask].any() and (scores[mask] > 0).all()
    zeroed = Reconstruction()({"w": w * mask}, evidence_for(x, w))["w"]
    assert np.array_equal(scores, zeroed)
    new = Reconstruction().compensate({"w": w}, evidence, {"w": mask})["w"]
    np.testing.assert_allclose(new, w * mask, rtol=1e-6)


def test_compensation_keeps_shape_dtype_and_what_has_no_mask():
    x, w = problem()
    evidence = evidence_for(x, w)
    mask = {"w": make_mask(np.abs(w), 0.5)}
    new = Reconstruction().compensate({"w": w.astype("float16")}, evidence, mask)["w"]
    assert new.dtype == np.float16 and np.array_equal(new != 0, mask["w"])
    assert Reconstruction().compensate({"w": w}, evidence, {})["w"] is w


def test_scores_depend_on_weights_and_inputs_alone():
    x, w = problem()
    evidence, before = evidence_for(x, w), w.copy()
    moments = evidence.layer_inputs()["w"].moments.copy()
    first, second = (Reconstruction()({"w": w}, evidence)["w"] for _ in range(2))
    assert np.array_equal(first, second) and np.array_equal(w, before)
    assert np.array_equal(evidence.layer_inputs()["w"].moments, moments)


def test_options_are_saved_and_read_back():
    scorer = Reconstruction(damping=0.5, rows="row")
    config = keras.saving.serialize_keras_object(scorer)
    assert keras.saving.deserialize_keras_object(config) == scorer
    assert scorer.needs == {"inputs"} and scorer.distribution == "uniform"


@pytest.mark.parametrize("damping", [0.0, -1.0, float("nan"), float("inf")])
def test_damping_must_be_positive(damping):
    with pytest.raises(ValueError, match="`damping` must be > 0.*Received: damping="):
        Reconstruction(damping=damping)


def test_bad_input_is_refused():
    x, w = problem()
    with pytest.raises(TypeError, match="damping='a'"):
        Reconstruction(damping="a")
    with pytest.raises(ValueError, match="'layer', 'row'.*rows='column'"):
        Reconstruction(rows="column")
    with pytest.raises(ValueError, match="no inputs for 'other'"):
        Reconstruction()({"other": w}, evidence_for(x, w))
    with pytest.raises(ValueError, match="`evidence` must be given"):
        Reconstruction()({"w": w}, None)
    evidence = evidence_for(x, w)
    inputs = evidence.layer_inputs()
    inputs["w"] = dataclasses.replace(inputs["w"], moments=np.full((1, 12, 12), np.nan))
    with pytest.raises(ValueError, match="layer of 'w' must be finite"):
        Reconstruction()({"w": w}, evidence)
