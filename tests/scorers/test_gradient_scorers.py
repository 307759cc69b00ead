"""SNIP, GraSP, SynFlow and movement by hand, and what every gradient scorer has in common."""

import keras
import numpy as np
import pytest

import tfprune
from tests.support.fake_evidence import FakeEvidence
from tfprune.scorers.fisher import Fisher
from tfprune.scorers.grasp import Grasp
from tfprune.scorers.movement import Movement
from tfprune.scorers.obd import OBD
from tfprune.scorers.protocol import needs_of
from tfprune.scorers.snip import Snip
from tfprune.scorers.synflow import SynFlow
from tfprune.scorers.taylor import Taylor

SCORERS = [
    Taylor(),
    Taylor(order=2, micro_batch=1, probes=None),
    Taylor("gates", momentum=0.5),
    Taylor("gates", order=2),
    OBD(probes=8),
    Fisher(),
    Snip(),
    Grasp(),
    SynFlow(),
    Movement(),
]
PREDICTING = [scorer for scorer in SCORERS if hasattr(scorer, "predict")]


def setting(seed=0, scale=1.0, dtype="float32"):
    random = np.random.default_rng(seed)
    shapes = {"a": (3, 4), "b": (2, 2, 3, 5)}
    weights = {n: random.normal(size=s).astype(dtype) for n, s in shapes.items()}
    gradients = {
        n: (scale * random.normal(size=(70, *s))).astype("float32") for n, s in shapes.items()
    }
    gates, curvature = (
        {n: scale * random.normal(size=(70, s[-1])) for n, s in shapes.items()} for _ in range(2)
    )
    root = scale * random.normal(size=(72, 72))
    found = FakeEvidence(gradients, root + root.T, gates=gates, curvature=curvature)
    return weights, found


@pytest.mark.parametrize("scorer", SCORERS)
def test_gradient_scorers_keep_the_contract(scorer):
    weights, found = setting()
    before = {name: w.copy() for name, w in weights.items()}
    scores, again = scorer(weights, found), scorer(weights, found)
    assert needs_of(scorer) and scores.keys() == weights.keys()
    for name, score in scores.items():
        assert score.shape == weights[name].shape and np.isfinite(score).all()
        assert np.ptp(score) > 0
        assert np.array_equal(score, again[name])
        assert np.array_equal(weights[name], before[name])
    config = keras.saving.serialize_keras_object(scorer)
    assert keras.saving.deserialize_keras_object(config) == scorer


@pytest.mark.parametrize("scorer", SCORERS)
def test_zero_gradients_give_zero_scores(scorer):
    weights, found = setting(scale=0.0)
    assert all(not score.any() for score in scorer(weights, found).values())


@pytest.mark.parametrize("scorer", [s for s in SCORERS if getattr(s, "on", "") != "gates"])
def test_zero_weights_score_zero(scorer):
    weights, found = setting()
    weights["a"][1] = 0
    scores = scorer(weights, found)["a"]
    assert not scores[1].any() and scores[0].all()


@pytest.mark.parametrize("scorer", SCORERS)
def test_weights_of_low_precision_score_like_their_values(scorer):
    import ml_dtypes

    low, found = setting(dtype=ml_dtypes.bfloat16)
    scores = scorer(low, found)
    expected = scorer({name: w.astype("float32") for name, w in low.items()}, found)
    for name in low:
        np.testing.assert_allclose(scores[name], expected[name], rtol=1e-6)


# GraSP is left out: its Hessian is that of the weights scored.
@pytest.mark.parametrize("scorer", [s for s in SCORERS if not isinstance(s, Grasp)])
def test_scores_do_not_depend_on_what_else_is_scored(scorer):
    weights, found = setting()
    alone = scorer({"b": weights["b"]}, found)
    assert alone.keys() == {"b"}
    np.testing.assert_allclose(alone["b"], scorer(weights, found)["b"])


@pytest.mark.parametrize("scorer", PREDICTING)
def test_no_change_of_weights_predicts_no_change_of_loss(scorer):
    weights, found = setting()
    assert scorer.predict(weights, found, weights) == 0.0


def test_snip_is_the_magnitude_of_gradient_times_weight():
    found = FakeEvidence({"w": np.array([[1.0, -4.0, 0.0], [3.0, -2.0, 0.0]])})
    assert Snip()({"w": np.array([-2.0, 1.0, 5.0])}, found)["w"].tolist() == [4.0, 3.0, 0.0]


def test_snip_takes_the_magnitude_of_the_mean_not_the_mean_of_magnitudes():
    found = FakeEvidence({"w": np.array([[1.0, 1.0], [-1.0, 1.0]])})
    assert Snip()({"w": np.ones(2)}, found)["w"].tolist() == [0.0, 1.0]


def test_grasp_by_hand_keeps_what_carries_the_gradient_flow():
    # Loss 1/2 (w1^2 - w2^2) at w = (1, 1): g = (1, -1), Hg = (1, 1), |g|^2 = 2.
    found = FakeEvidence({"w": np.array([[1.0, -1.0]])}, np.diag([1.0, -1.0]))
    assert Grasp()({"w": np.array([1.0, 1.0])}, found)["w"].tolist() == [1.0, 1.0]
    # At w = (1, -2) with the same curvature: g = (1, 2), Hg = (1, -2), w (Hg) = (1, 4).
    found = FakeEvidence({"w": np.array([[1.0, 2.0]])}, np.diag([1.0, -1.0]))
    assert Grasp()({"w": np.array([1.0, -2.0])}, found)["w"].tolist() == [1.0, 4.0]


def test_grasp_ranks_by_the_loss_of_squared_gradient_norm():
    random = np.random.default_rng(1)
    root, w, offset = random.normal(size=(6, 6)), random.normal(size=6), random.normal(size=6)
    hessian = root + root.T
    g = hessian @ w + offset
    scores = Grasp()({"w": w}, FakeEvidence({"w": g[np.newaxis]}, hessian))["w"]
    step = 1e-6
    for index in range(6):
        moved = w.copy()
        moved[index] *= 1 - step  # the weight, on its way to zero
        slope = (np.sum((hessian @ moved + offset) ** 2) - np.sum(g**2)) / step
        assert slope == pytest.approx(-2 * scores[index], rel=1e-4, abs=1e-6)


def test_synflow_is_flow_times_magnitude():
    class Flowing(FakeEvidence):
        def synaptic_flow(self):
            return {"w": np.array([1.0, 2.0, 0.0])}

    scores = SynFlow()({"w": np.array([-3.0, 0.5, 1.0])}, Flowing({"w": np.ones((1, 3))}))["w"]
    assert scores.tolist() == [3.0, 1.0, 0.0]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("apart", [False, True])
def test_synflow_is_that_of_logits_whatever_the_model_makes_of_them(activation, apart):
    def model(*end, last=None):
        start = [keras.Input((6,)), keras.layers.Dense(5, "relu")]
        made = keras.Sequential([*start, keras.layers.Dense(3, last), *end])
        made.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in made.weights])
        return made

    ends = [keras.layers.Activation(activation)] if apart else []
    squashed = model(*ends, last=None if apart else activation)
    x = np.ones((2, 6), "float32")
    before = squashed.predict_on_batch(x)
    masks = [
        [layer.pruned[0].mask.numpy() for layer in pruned.layers if hasattr(layer, "pruned")]
        for pruned, _ in (
            tfprune.one_shot(each, 0.5, "synflow", x, verbose=False) for each in (model(), squashed)
        )
    ]
    assert all(map(np.array_equal, *masks))
    assert np.array_equal(squashed.predict_on_batch(x), before)


def test_synflow_does_not_overflow_where_the_flow_is_near_the_limit_of_float32():
    class Flowing(FakeEvidence):
        def synaptic_flow(self):
            return {"w": np.array([3e38, 2e38], "float32")}

    weights = {"w": np.array([100.0, 100.0], "float32")}
    more, less = SynFlow()(weights, Flowing({"w": np.ones((1, 2))}))["w"]
    assert np.isfinite(more) and more > less


def test_movement_keeps_weights_that_training_moves_away_from_zero():
    weights = {"w": np.array([1.0, 1.0, -1.0, -1.0])}
    g = np.array([0.5, -0.5, 0.5, -0.5])  # descent: down, up, down, up
    scores = Movement()(weights, FakeEvidence({"w": g[np.newaxis]}))["w"]
    after = weights["w"] - 0.1 * g
    assert np.array_equal(scores > 0, np.abs(after) > np.abs(weights["w"]))


def test_movement_adds_up_over_updates():
    first, second = {"w": np.array([1.0, -2.0])}, {"w": np.array([0.5, 3.0]), "new": np.ones(1)}
    total = Movement().accumulate(first, second)
    assert total["w"].tolist() == [1.5, 1.0] and total["new"].tolist() == [1.0]
    assert first["w"].tolist() == [1.0, -2.0]


@pytest.mark.parametrize(
    ("scorer", "distribution"), [(Taylor(), "global"), (Snip(), "global"), (Movement(), None)]
)
def test_scorers_whose_papers_rank_all_layers_together_ask_for_it(scorer, distribution):
    assert getattr(scorer, "distribution", None) == distribution


def test_synflow_of_a_softmax_that_is_a_layer_of_its_own_is_refused():
    stack = [keras.layers.Dense(3), keras.layers.Softmax(name="soft")]
    with pytest.raises(ValueError, match="must return logits, or .* Received: the layer 'soft'"):
        model = keras.Sequential([keras.Input((6,)), *stack])
        tfprune.one_shot(model, 0.5, "synflow", np.ones((2, 6), "float32"), verbose=False)
