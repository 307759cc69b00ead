import itertools
import tracemalloc

import keras
import numpy as np
import pytest

import tfprune
from tests.support.fake_evidence import FakeEvidence
from tests.support.scorers.fisher_problems import (
    STRUCTURES,
    constrained_minimum,
    fisher_of,
    problem,
)
from tfprune.scorers.woodfisher.scorer import (
    WoodFisher,
    inverse_fisher_diagonal,
    scale_free_damping,
)


@pytest.mark.parametrize("examples", [8, 60])
def test_scores_are_the_loss_of_removing_a_weight_and_adjusting_the_others(examples):
    weights, gradients = problem({"w": (5, 6)}, examples)
    scores = WoodFisher(damping=0.01)(weights, gradients)["w"]
    fisher, w = fisher_of(gradients, 0.01), weights["w"].ravel()
    for q in range(30):
        _, loss = constrained_minimum(fisher, np.zeros(30), [q], -w[[q]])
        assert np.isclose(scores.ravel()[q], loss, rtol=1e-9)


def test_blocks_divide_each_weight_or_cover_it_or_the_model():
    shapes = {"a": (7, 5), "b": (4, 6), "c": (3,)}
    weights, gradients = problem(shapes)
    # The weights of an output unit, the last axis, are neighbours.
    rows = {n: np.moveaxis(g, -1, 1).reshape(30, -1) for n, g in gradients.per_example().items()}
    for block_size, size in ((10, 10), ("layer", None)):
        scores = WoodFisher(block_size=block_size, damping=0.1)(weights, gradients)
        for name, w in weights.items():
            diagonal = inverse_fisher_diagonal(rows[name], damping=0.1, block_size=size)
            expected = w.T.ravel() ** 2 / (2 * diagonal)
            assert np.allclose(scores[name].T.ravel(), expected, rtol=1e-12)
    scores = WoodFisher(block_size="model", damping=0.1)(weights, gradients)
    diagonal = inverse_fisher_diagonal(np.concatenate(list(rows.values()), axis=1), damping=0.1)
    joined = np.concatenate([w.T.ravel() for w in weights.values()])
    found = np.concatenate([scores[name].T.ravel() for name in weights])
    assert np.allclose(found, joined**2 / (2 * diagonal), rtol=1e-12)


def test_without_gradients_the_order_is_that_of_magnitude():
    weights, _ = problem({"a": (7, 5), "b": (4, 6)})
    gradients = FakeEvidence({name: np.zeros((9, *w.shape)) for name, w in weights.items()})
    for first_order, scale_free in itertools.product((False, True), repeat=2):
        scores = WoodFisher(first_order=first_order, scale_free=scale_free)(weights, gradients)
        for name, w in weights.items():
            assert np.allclose(scores[name], 0.5e-5 * w**2, rtol=1e-12)


def test_scale_free_damping_is_a_share_of_the_mean_diagonal_over_unmasked_weights():
    mask = np.arange(40).reshape(5, 8) % 3 > 0
    weights, gradients = problem({"w": (5, 8)}, masks={"w": mask})
    rows = gradients.per_example()["w"][:, mask]
    damping = scale_free_damping(rows, 0.1)
    scores = WoodFisher(damping=0.1, scale_free=True)(weights, gradients)["w"]
    expected = weights["w"][mask] ** 2 / 2 / inverse_fisher_diagonal(rows, damping=damping)
    assert np.allclose(scores[mask], expected, rtol=1e-12) and not scores[~mask].any()


@pytest.mark.parametrize("block_size", [16, "layer", "model"])
@pytest.mark.parametrize("examples", [9, 70])
def test_joint_update_solves_the_constrained_least_squares_problem(block_size, examples):
    random = np.random.default_rng(3)
    masks = {"w": random.random((6, 8)) > 0.2}
    weights, gradients = problem({"w": (6, 8)}, examples, masks=masks)
    kept = {"w": masks["w"] & (random.random((6, 8)) > 0.4)}
    scorer = WoodFisher(block_size=block_size, damping=0.01)
    found = scorer.compensate(weights, gradients, kept)["w"].ravel()
    w = weights["w"].ravel()
    by_output = np.arange(48).reshape(6, 8).T.ravel()
    alive = by_output[masks["w"].ravel()[by_output]]
    fisher = fisher_of(gradients, 0.01)
    size = 16 if block_size == 16 else alive.size
    for start in range(0, alive.size, size):
        block = alive[start : start + size]
        removed = np.flatnonzero(~kept["w"].ravel()[block])
        part = fisher[np.ix_(block, block)]
        delta, _ = constrained_minimum(part, np.zeros(block.size), removed, -w[block][removed])
        assert np.allclose(found[block], w[block] + delta, rtol=1e-8, atol=1e-10)
        assert not found[block][removed].any()
    assert not found[~masks["w"].ravel()].any()


def test_joint_update_equals_the_ridge_regression_of_the_removed_outputs():
    weights, gradients = problem({"w": (40,)}, examples=12)
    kept = {"w": np.arange(40) % 3 > 0}
    rows, mask = gradients.per_example()["w"], kept["w"]
    # min |G_K d - G_Q w_Q|^2 / N + damping |d|^2, as one tall least-squares problem
    tall = np.vstack([rows[:, mask], np.sqrt(12 * 0.01) * np.eye(mask.sum())])
    target = np.concatenate([rows[:, ~mask] @ weights["w"][~mask], np.zeros(mask.sum())])
    delta = np.linalg.lstsq(tall, target, rcond=None)[0]
    found = WoodFisher(damping=0.01).compensate(weights, gradients, kept)["w"]
    assert np.allclose(found[mask], weights["w"][mask] + delta, rtol=1e-9)


@pytest.mark.parametrize("examples", [9, 70])
def test_sum_update_is_the_papers_formula(examples):
    masks = {"w": np.arange(30) % 5 > 0}
    weights, gradients = problem({"w": (30,)}, examples, masks=masks)
    kept = {"w": masks["w"] & (np.arange(30) % 3 > 0)}
    removed = masks["w"] & ~kept["w"]
    inverse, w = np.linalg.inv(fisher_of(gradients, 0.01)), weights["w"]
    delta = -sum(w[q] * inverse[q] / inverse[q, q] for q in np.flatnonzero(removed))
    found = WoodFisher(damping=0.01, update="sum").compensate(weights, gradients, kept)["w"]
    assert np.allclose(found[kept["w"]], (w + delta)[kept["w"]], rtol=1e-9)
    assert not found[removed].any()


def test_sum_and_joint_update_agree_for_one_removed_weight_or_group():
    for structure, gone in ((tfprune.Unstructured(), [13]), (tfprune.Block(1, 4), range(8, 12))):
        weights, gradients = problem({"w": (6, 4)}, structures={"w": structure})
        kept = np.ones(24, bool)
        kept[list(gone)] = False
        both = [
            WoodFisher(damping=0.01, update=update).compensate(
                weights, gradients, {"w": kept.reshape(6, 4)}
            )["w"]
            for update in ("sum", "joint")
        ]
        assert np.allclose(both[0], both[1], rtol=1e-8)


def test_without_an_update_kept_weights_stay():
    weights, gradients = problem({"w": (6, 4)})
    kept = {"w": weights["w"] > 0}
    found = WoodFisher(update=None).compensate(weights, gradients, kept)["w"]
    assert np.array_equal(found, weights["w"])


def test_an_update_of_nothing_changes_nothing_and_inputs_are_left_alone():
    weights, gradients = problem({"a": (6, 4), "b": (5,)})
    before = {name: w.copy() for name, w in weights.items()}
    masks = {"a": np.ones((6, 4), bool), "b": np.array([True, False, True, True, True])}
    found = WoodFisher(first_order=True).compensate(weights, gradients, masks)
    assert np.array_equal(found["a"], weights["a"]) and found["b"][1] == 0.0
    assert all(np.array_equal(weights[name], before[name]) for name in before)
    assert found["b"].dtype == weights["b"].dtype


@pytest.mark.parametrize("examples", [9, 70])
def test_woodtaylor_scores_and_updates_are_the_constrained_minimum(examples):
    weights, gradients = problem({"w": (24,)}, examples)
    scorer = WoodFisher(damping=0.1, first_order=True, trust_region=1e6)
    scores = scorer(weights, gradients)["w"]
    fisher, g, w = fisher_of(gradients, 0.1), gradients.mean()["w"], weights["w"]
    free = -0.5 * g @ np.linalg.solve(fisher, g)
    for q in range(24):
        delta, loss = constrained_minimum(fisher, g, [q], -w[[q]])
        assert np.isclose(scores[q], loss - free, rtol=1e-9)
        kept = {"w": np.arange(24) != q}
        for update in ("sum", "joint"):
            updated = WoodFisher(**{**scorer.get_config(), "update": update})
            found = updated.compensate(weights, gradients, kept)["w"]
            assert np.allclose(found, w + delta, rtol=1e-8, atol=1e-10)
    removed = np.arange(0, 24, 3)
    delta, _ = constrained_minimum(fisher, g, removed, -w[removed])
    found = scorer.compensate(weights, gradients, {"w": np.arange(24) % 3 > 0})["w"]
    assert np.allclose(found, w + delta, rtol=1e-8, atol=1e-10)


def test_the_trust_region_bounds_the_first_order_step_of_each_block():
    weights, gradients = problem({"w": (40,)}, examples=10)
    kept = {"w": np.arange(40) % 4 > 0}
    rest = {"damping": 1e-6, "block_size": 20}
    for update in ("sum", "joint"):
        plain = WoodFisher(**rest, update=update).compensate(weights, gradients, kept)["w"]
        for share in (0.1, 0.01):
            scorer = WoodFisher(**rest, update=update, first_order=True, trust_region=share)
            step = scorer.compensate(weights, gradients, kept)["w"] - plain
            for block in (slice(0, 20), slice(20, 40)):
                length, limit = np.linalg.norm(step[block]), np.linalg.norm(weights["w"][block])
                if update == "joint":
                    assert np.isclose(length, share * limit, rtol=1e-6)
                assert length > 0.0
    # The score too moves away from WoodFisher's by no more than the step allows.
    plain = WoodFisher(damping=1e-6)(weights, gradients)["w"]
    near = WoodFisher(damping=1e-6, first_order=True, trust_region=1e-9)(weights, gradients)["w"]
    far = WoodFisher(damping=1e-6, first_order=True, trust_region=1e6)(weights, gradients)["w"]
    assert np.allclose(near, plain, rtol=1e-6) and not np.allclose(far, plain, rtol=0.5)


def test_prediction_is_the_quadratic_model_without_damping():
    weights, gradients = problem({"a": (5, 4), "b": (6,)})
    pruned = {name: w * (np.abs(w) > 0.5) for name, w in weights.items()}
    rows = gradients.per_example()
    change = sum(
        rows[name].reshape(30, -1) @ (pruned[name] - weights[name]).ravel() for name in weights
    )
    found = WoodFisher().predict(weights, gradients, pruned)
    assert np.isclose(found, 0.5 * np.mean(change**2), rtol=1e-12)
    found = WoodFisher(first_order=True).predict(weights, gradients, pruned)
    assert np.isclose(found, 0.5 * np.mean(change**2) + np.mean(change), rtol=1e-12)


def test_the_joint_update_lowers_the_predicted_change_and_beats_the_sum():
    weights, gradients = problem({"w": (20, 10)}, examples=60)
    kept = {"w": np.abs(weights["w"]) > 0.8}
    change = {}
    for update in ("joint", "sum", None):
        scorer = WoodFisher(damping=0.01, update=update)
        pruned = scorer.compensate(weights, gradients, kept)["w"] * kept["w"]
        change[update] = scorer.predict(weights, gradients, {"w": pruned})
    assert change["joint"] < 0.2 * change["sum"] and change["sum"] < change[None]


@pytest.mark.parametrize("structure", [tfprune.Unstructured(), *STRUCTURES, tfprune.NofM(2, 4)])
@pytest.mark.parametrize("first_order", [False, True])
def test_degenerate_gradients_and_weights_give_finite_scores(structure, first_order):
    shapes = {"a": (8, 6), "b": (4, 4)}
    masks = {"a": np.arange(48).reshape(8, 6) % 3 > 0, "b": np.zeros((4, 4), bool)}
    structures = dict.fromkeys(shapes, structure)
    weights, gradients = problem(shapes, 10, masks=masks, structures=structures)
    rows = gradients.per_example()
    rows["a"][:, ::2] = 0.0  # dead inputs
    rows["a"][:] = rows["a"][:1] * 1e4  # rank one, and a damping below rounding
    weights["a"][1] = 0.0
    for block_size in (5, 24, "layer", "model"):
        scorer = WoodFisher(block_size=block_size, damping=1e-12, first_order=first_order)
        scores = scorer(weights, gradients)
        assert all(np.isfinite(s).all() and s.min() >= 0.0 for s in scores.values())
        kept = {name: masks[name] & (scores[name] > np.median(scores[name])) for name in shapes}
        changed = scorer.compensate(weights, gradients, kept)
        assert all(np.isfinite(w).all() for w in changed.values())
        assert np.isfinite(scorer.predict(weights, gradients, changed))


def test_gradients_in_memory_maps_are_never_copied_whole(tmp_path):
    shape, examples = (16, 64, 64), 140
    mapped = np.memmap(tmp_path / "g", np.float32, "w+", shape=(examples, *shape))
    mapped[:] = np.random.default_rng(0).normal(size=(examples, *shape))
    mask = np.arange(np.prod(shape)).reshape(shape) % 7 > 0
    mapped *= mask
    structures = {"w": tfprune.Block(1, 4)}
    weights = {"w": np.ones(shape, np.float32)}
    gradients = FakeEvidence({"w": mapped}, structures=structures, masks={"w": mask})
    kept = {"w": mask & (np.arange(mask.size).reshape(shape) % 2 > 0)}
    tracemalloc.start()
    for scorer in (WoodFisher(), WoodFisher(block_size="model", update="sum")):
        scorer(weights, gradients)
        scorer.predict(weights, gradients, scorer.compensate(weights, gradients, kept))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20 < 8 * mapped.size


def test_scope_decides_the_distribution():
    assert WoodFisher().distribution == "uniform"
    assert WoodFisher(scope="global").distribution == "global"


def test_options_survive_a_round_trip_through_keras():
    scorer = WoodFisher(block_size="layer", scope="global", update=None, first_order=True)
    config = keras.saving.serialize_keras_object(scorer)
    assert keras.saving.deserialize_keras_object(config) == scorer


@pytest.mark.parametrize(
    "option, error, message",
    [
        ({"block_size": 0}, ValueError, "`block_size` must be >= 1. Received: block_size=0"),
        ({"block_size": "block"}, ValueError, "`block_size` must be one of 'layer', 'model'"),
        ({"block_size": 2.5}, TypeError, "`block_size` must be an integer"),
        ({"damping": 0.0}, ValueError, "`damping` must be > 0 .*damping=0.0"),
        ({"damping": None}, TypeError, "`damping` must be a number"),
        ({"trust_region": -1}, ValueError, "`trust_region` must be > 0"),
        ({"scope": "model"}, ValueError, "`scope` must be one of 'layer', 'global'"),
        ({"update": "exact"}, ValueError, "`update` must be one of 'joint', 'sum', None"),
        ({"first_order": 1}, TypeError, "`first_order` must be True or False"),
        ({"scale_free": None}, TypeError, "`scale_free` must be True or False"),
    ],
)
def test_options_out_of_range_are_refused(option, error, message):
    with pytest.raises(error, match=message):
        WoodFisher(**option)


def test_missing_and_broken_gradients_are_refused_naming_the_weight():
    weights, gradients = problem({"a": (4, 4), "b": (4, 4)})
    with pytest.raises(ValueError, match="`evidence` must be given"):
        WoodFisher()(weights, None)
    gradients.per_example()["b"][3, 2, 1] = np.nan
    for block_size in (4, "layer", "model"):
        with pytest.raises(ValueError, match="`gradients` must be finite.*'b'"):
            WoodFisher(block_size=block_size)(weights, gradients)
