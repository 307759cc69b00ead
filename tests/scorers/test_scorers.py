import keras
import numpy as np
import pytest

from tests.support.fake_evidence import FakeEvidence
from tfprune import scorers
from tfprune.scorers.inputs import LayerInputs
from tfprune.scorers.protocol import needs_of, preferred_distribution

WEIGHTS = {
    "a": np.array([[-3.0, 1.0], [0.0, 2.0]], "float32"),
    "b": np.array([0.5, -0.25], "float32"),
}


ALWAYS = {"examples", "masks", "structures", "channel_groups"}
ANSWERS = {"inputs": {"layer_inputs"}, "flow": {"synaptic_flow"}}


class Reluctant:
    """Evidence that answers what a scorer says it needs, and nothing else."""

    def __init__(self, evidence, needs):
        self._evidence, self._needs = evidence, needs

    def __getattr__(self, name):
        need = next((n for n, answers in ANSWERS.items() if name in answers), "gradients")
        assert name in ALWAYS or need in self._needs, f"{name} was asked for"
        return getattr(self._evidence, name)


def evidence():
    """Evidence of seven examples for the weights."""
    random = np.random.default_rng(0)
    samples = {name: random.normal(size=(7, *w.shape)) for name, w in WEIGHTS.items()}
    inputs = {}
    for name, width, outputs in (("a", 2, 2), ("b", 2, 1)):
        x = random.normal(size=(9, width))
        shape = WEIGHTS[name].shape
        inputs[name] = LayerInputs(
            (x.T @ x)[np.newaxis],
            9,
            lambda w, size=(1, width, outputs): w.reshape(size),
            lambda w, size=shape: w.reshape(size),
        )
    square = random.normal(size=(6, 6))
    return FakeEvidence(samples, square @ square.T, inputs=inputs)


@pytest.mark.parametrize("name", scorers.names())
def test_every_scorer_keeps_the_contract(name):
    scorer = scorers.get(name)
    before = {key: value.copy() for key, value in WEIGHTS.items()}
    needs = needs_of(scorer)
    asked = Reluctant(evidence(), needs) if needs else None
    scores = scorer(WEIGHTS, asked)
    again = scorer(WEIGHTS, asked)
    assert isinstance(preferred_distribution(scorer), str)
    assert scores.keys() == WEIGHTS.keys()
    for key, value in scores.items():
        array = np.asarray(value)
        assert array.shape == WEIGHTS[key].shape and np.isfinite(array).all()
        assert np.array_equal(array, np.asarray(again[key]))
        assert np.array_equal(WEIGHTS[key], before[key])
    config = keras.saving.serialize_keras_object(scorer)
    assert keras.saving.deserialize_keras_object(config) == scorer


def test_magnitude_scores_are_absolute_values():
    assert np.asarray(scorers.Magnitude()(WEIGHTS)["a"]).tolist() == [[3.0, 1.0], [0.0, 2.0]]


def test_random_scores_depend_on_seed_and_name_alone():
    first, second = scorers.Random(1)(WEIGHTS)["a"], scorers.Random(2)(WEIGHTS)["a"]
    assert not np.array_equal(first, second)
    assert np.array_equal(first, scorers.Random(1)({"a": np.zeros((2, 2))})["a"])


def test_unknown_scorers_are_refused():
    with pytest.raises(ValueError, match="'magnitude', 'random'.*scorer='magnitud'"):
        scorers.get("magnitud")
    with pytest.raises(TypeError, match="must be a name or an instance"):
        scorers.get(scorers.Magnitude)
    with pytest.raises(TypeError, match="seed=1.5"):
        scorers.Random(1.5)
