"""What the search keeps low: how far outputs are from the original's, on examples of their own."""

import keras
import numpy as np
import pytest

import tfprune
from tfprune.calibration.examples import Examples
from tfprune.compression.budget_search import losses
from tfprune.compression.budget_search.losses import LossMeter, as_outputs

layers = keras.layers


def test_outputs_that_are_probabilities_are_compared_as_logits() -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    logits = layers.Dense(3, name="logits")(inputs)
    one, two = keras.Model(inputs, logits), keras.Model(inputs, layers.Softmax()(logits))
    x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
    meters = [LossMeter(m, *as_outputs(m, Examples(x)), m) for m in (one, two)]
    np.testing.assert_allclose([meter() for meter in meters], 0.0, atol=1e-9)
    kernel = one.get_layer("logits").kernel
    before = one.predict(x, verbose=0)
    kernel.assign(1.3 * np.array(kernel))
    after = one.predict(x, verbose=0)
    assert np.isclose(meters[0](), np.mean((after - before) ** 2), rtol=1e-4)
    logs = [np.log(np.exp(z) / np.exp(z).sum(-1, keepdims=True)) for z in (before, after)]
    assert np.isclose(meters[1](), np.mean((logs[1] - logs[0]) ** 2), rtol=1e-3)


def test_each_of_several_outputs_counts() -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    outputs = {"a": layers.Dense(1, name="a")(inputs), "b": layers.Dense(2, "softmax")(inputs)}
    model = keras.Model(inputs, outputs)
    x = np.random.default_rng(0).normal(size=(20, 6)).astype("float32")
    meter = LossMeter(model, *as_outputs(model, Examples(x)), model)
    assert np.isclose(meter(), 0.0, atol=1e-9)
    for weight in model.weights:
        before = np.array(weight)
        weight.assign(before + np.linspace(0.5, 1.0, before.size).reshape(before.shape))
        assert meter() > 1e-4
        weight.assign(before)


def test_no_example_decides_and_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    decided, measured = set(), set()
    one_shot, moments_of, source = losses.one_shot, losses.moments_of, losses.EvidenceSource

    def pruned(model, sparsity, scorer, data, *rest, **options):
        decided.update(data[0][:, 0])
        return one_shot(model, sparsity, scorer, data, *rest, **options)

    def moments(model, weights, taken, **options):
        decided.update(taken.x[:, 0])
        return moments_of(model, weights, taken, **options)

    def measuring(model, weights, options, **more):
        measured.update(options.data[0][:, 0])
        return source(model, weights, options, **more)

    monkeypatch.setattr(losses, "one_shot", pruned)
    monkeypatch.setattr(losses, "moments_of", moments)
    monkeypatch.setattr(losses, "EvidenceSource", measuring)
    keras.utils.set_random_seed(0)
    parts = [keras.Input((8,)), layers.Dense(64, "relu"), layers.Dense(1)]
    x = np.random.default_rng(0).normal(size=(41, 8)).astype("float32")
    options = {"loss": "mse", "methods": ["pruning", "rank"], "quantize": None, "verbose": False}
    _, plan = tfprune.compress(keras.Sequential(parts), {"bytes": 0.8}, (x, x[:, :1]), **options)
    assert (len(decided), len(measured), plan.examples) == (20, 21, 21)
    assert not decided & measured
