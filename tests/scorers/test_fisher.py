"""Diagonal Fisher and OBD: closed forms, streaming, predicted loss changes."""

import numpy as np
import pytest

from tests.support.fake_evidence import FakeEvidence
from tfprune.scorers.fisher import Fisher
from tfprune.scorers.obd import OBD
from tfprune.sparsity import masks
from tfprune.sparsity.structures import Block, Channel

RANDOM = np.random.default_rng(0)
WEIGHTS = {
    "a": RANDOM.normal(size=(3, 4)).astype("float32"),
    "b": RANDOM.normal(size=5).astype("float32"),
}
GRADIENTS = {n: RANDOM.normal(size=(7, *w.shape)).astype("float32") for n, w in WEIGHTS.items()}
ROOT = RANDOM.normal(size=(17, 17))
HESSIAN = ROOT @ ROOT.T
DIAGONAL = {"a": np.diag(HESSIAN)[:12].reshape(3, 4), "b": np.diag(HESSIAN)[12:]}


class Chunked(FakeEvidence):
    """Hands out several examples at a time, in chunks of differing lengths."""

    def batches(self, size):
        assert size == 1
        for part in (slice(0, 3), slice(3, 4), slice(4, 7)):
            yield {name: g[part] for name, g in self.per_example().items()}


def test_fisher_of_two_examples_by_hand():
    found = FakeEvidence({"w": np.array([[1.0, 0.0], [-3.0, 2.0]])})
    # F = ((1 + 9) / 2, 4 / 2), scores 1/2 w^2 F
    assert Fisher()({"w": np.array([2.0, -1.0])}, found)["w"].tolist() == [10.0, 1.0]


def test_fisher_is_half_the_squared_weight_times_the_mean_squared_gradient():
    scores = Fisher()(WEIGHTS, FakeEvidence(GRADIENTS))
    for name, w in WEIGHTS.items():
        expected = 0.5 * w.astype(float) ** 2 * np.mean(GRADIENTS[name].astype(float) ** 2, axis=0)
        np.testing.assert_allclose(scores[name], expected, rtol=1e-12)


def test_fisher_does_not_depend_on_how_examples_are_streamed():
    whole = Fisher()(WEIGHTS, FakeEvidence(GRADIENTS))
    streamed = Fisher()(WEIGHTS, Chunked(GRADIENTS))
    for name in WEIGHTS:
        np.testing.assert_allclose(streamed[name], whole[name], rtol=1e-12)


def test_unit_fisher_gives_magnitude_order():
    w = RANDOM.normal(size=20)
    found = FakeEvidence({"w": np.sqrt(20) * np.eye(20)})  # mean of squares is one everywhere
    scores = Fisher()({"w": w}, found)["w"]
    assert np.array_equal(np.argsort(scores), np.argsort(np.abs(w)))


def test_tiny_gradients_do_not_underflow():
    found = FakeEvidence({"w": np.array([[1e-25, 2e-25]], "float32")})
    low, high = Fisher()({"w": np.ones(2, "float32")}, found)["w"]
    assert 0 < low < high


def test_fisher_predicts_the_sum_of_the_scores_of_what_is_removed():
    found = FakeEvidence(GRADIENTS)
    pruned = {name: np.where(np.abs(w) > 0.5, w, 0) for name, w in WEIGHTS.items()}
    scores = Fisher()(WEIGHTS, found)
    removed = sum(scores[n][(pruned[n] == 0) & (w != 0)].sum() for n, w in WEIGHTS.items())
    assert Fisher().predict(WEIGHTS, found, pruned) == pytest.approx(removed)
    doubled = {name: 2 * w for name, w in WEIGHTS.items()}
    everything = sum(score.sum() for score in scores.values())
    assert Fisher().predict(WEIGHTS, found, doubled) == pytest.approx(everything)


def test_obd_is_half_the_squared_weight_times_the_hessian_diagonal():
    scores = OBD()(WEIGHTS, FakeEvidence(GRADIENTS, HESSIAN))
    for name, w in WEIGHTS.items():
        np.testing.assert_allclose(scores[name], 0.5 * w.astype(float) ** 2 * DIAGONAL[name])


def test_obd_is_the_true_loss_change_at_the_minimum_of_a_quadratic():
    w = np.concatenate([weight.ravel() for weight in WEIGHTS.values()]).astype(float)
    scores = OBD()(WEIGHTS, FakeEvidence(GRADIENTS, HESSIAN))
    flat = np.concatenate([score.ravel() for score in scores.values()])
    for index in range(w.size):
        step = np.zeros(w.size)
        step[index] = -w[index]
        assert flat[index] == pytest.approx(0.5 * step @ HESSIAN @ step)


def test_obd_removes_first_what_lowers_the_loss():
    found = FakeEvidence({"w": np.zeros((1, 3))}, np.diag([1.0, -2.0, 3.0]))
    scores = OBD()({"w": np.ones(3)}, found)
    assert scores["w"].tolist() == [0.5, -1.0, 1.5]
    assert masks.make_mask(scores["w"], 1 / 3).tolist() == [True, False, True]


def test_obd_predicts_half_the_squared_step_times_the_diagonal():
    found = FakeEvidence(GRADIENTS, HESSIAN)
    pruned = {name: np.where(w > 0, w, 0) for name, w in WEIGHTS.items()}
    expected = sum(
        0.5 * float(np.sum(DIAGONAL[n] * (pruned[n] - w) ** 2)) for n, w in WEIGHTS.items()
    )
    assert OBD().predict(WEIGHTS, found, pruned) == pytest.approx(expected)


def test_obd_hands_its_probes_on():
    asked = []

    class Recording(FakeEvidence):
        def hessian_diagonal(self, probes=None):
            asked.append(probes)
            return super().hessian_diagonal(probes)

    found = Recording(GRADIENTS, HESSIAN)
    OBD(probes=5)(WEIGHTS, found)
    OBD(probes=None).predict(WEIGHTS, found, WEIGHTS)
    assert asked == [5, None]


@pytest.mark.parametrize("scorer", [Fisher(), OBD()])
@pytest.mark.parametrize("structure", [Block(2, 2), Channel(-1)])
def test_groups_have_the_pooled_scores_of_their_weights(scorer, structure):
    plain = scorer(WEIGHTS, FakeEvidence(GRADIENTS, HESSIAN))
    found = FakeEvidence(GRADIENTS, HESSIAN, structures=dict.fromkeys(WEIGHTS, structure))
    for name, score in scorer(WEIGHTS, found).items():
        np.testing.assert_array_equal(
            structure.group_scores(score), structure.group_scores(plain[name])
        )


@pytest.mark.parametrize(("probes", "error"), [(0, ValueError), (1.5, TypeError)])
def test_impossible_probes_are_refused(probes, error):
    with pytest.raises(error, match=f"`probes` must be .*probes={probes}"):
        OBD(probes=probes)
