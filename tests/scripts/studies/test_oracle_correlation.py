"""oracle_correlation: its oracle, its scores, and the results that are shipped."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from scipy.stats import spearmanr

import tfprune
from models.data.arrays import load
from scripts.studies import oracle_correlation
from tfprune.calibration.evidence import evidence_of
from tfprune.scorers.taylor import Taylor

RESULTS = Path(__file__).resolve().parents[3] / "scripts" / "results" / "oracle_correlation.json"


@pytest.fixture(scope="module")
def measured():
    """Two coupled layers as initialized, 64 examples, its gates and their statistics."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x, y = (layers.BatchNormalization()(layers.Conv2D(8, 3)(inputs)) for _ in range(2))
    pooled = layers.GlobalAveragePooling2D()(x + y)  # no ReLU: two orders are nearly all there is
    outputs = layers.Dense(10, name="logits")(pooled)
    model = tfprune.prune(
        keras.Model(inputs, outputs), tfprune.OneShot(0.5), rules=[("logits/.*", None)]
    )
    digits = load("digits")
    x, y = digits.x_train[:64], digits.y_train[:64]
    loss = oracle_correlation.cross_entropy()
    found = evidence_of(model, (x, y), loss, examples=None)
    norms = oracle_correlation.gates_of(model, found)
    weights = {name: np.ones(mask.shape, "float32") for name, mask in found.masks.items()}
    return model, norms, weights, found, x, y


def test_oracle_is_the_squared_loss_change_and_leaves_the_model_as_it_was(measured):
    model, norms, _, _, x, y = measured
    before = [variable.numpy() for variable in model.variables]
    name = min(norms)
    changes = oracle_correlation.oracle(model, norms, [frozenset([name])], x, y)
    assert all(np.array_equal(a, v.numpy()) for a, v in zip(before, model.variables))
    loss = oracle_correlation.cross_entropy()
    dense = float(loss(y, model(x)))
    gamma = norms[name].gamma
    kept = gamma.numpy()
    for channel, change in enumerate(changes):  # beta is zero in a network as initialized
        gamma.assign(np.where(np.arange(len(kept)) == channel, 0.0, kept))
        assert change == pytest.approx((float(loss(y, model(x))) - dense) ** 2, rel=1e-2)
        gamma.assign(kept)


def test_second_order_gates_follow_the_oracle(measured):
    model, norms, weights, found, x, y = measured
    sets = [frozenset([name]) for name in norms]
    truth = oracle_correlation.oracle(model, norms, sets, x, y)
    scores = oracle_correlation.scores_of("", Taylor("gates", 2, 64), weights, found, sets)
    assert spearmanr(truth, scores).statistic > 0.95


def test_coupled_filters_have_one_score_each(measured):
    _, norms, weights, found, _, _ = measured
    sets = found.channel_groups()
    assert sets == [frozenset(norms)]
    (gates,) = found.gates(64)
    scorer = Taylor("gates", 1, 64)
    joint = oracle_correlation.scores_of("", scorer, weights, found, sets)
    np.testing.assert_allclose(joint, sum(g[0] for g in gates.values()) ** 2, rtol=1e-4)
    apart = oracle_correlation.scores_of(oracle_correlation.APART, scorer, weights, found, sets)
    np.testing.assert_allclose(apart, sum(g[0] ** 2 for g in gates.values()), rtol=1e-4)


def test_shipped_correlations_reach_their_targets():
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    first = next(iter(results["trainings"].values()))["correlation"]["filters"]
    assert results["examples"] >= 1280 and len(results["seeds"]) >= 3
    assert results["targets"] == oracle_correlation.TARGETS
    for method, target in results["targets"].items():
        assert min(first[method]["values"]) >= target, method
