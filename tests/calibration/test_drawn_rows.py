import numpy as np
from keras import layers

from tests.support.layer_watching import model_of, only
from tfprune.calibration.input_moments import layer_inputs
from tfprune.layer_classes.prunable import prunable_weights

RNG = np.random.default_rng(0)


def test_rows_of_a_convolution_are_drawn_where_there_are_very_many():
    """What is best for the rows drawn costs hardly more than the best on all of them."""
    layer = layers.Conv2D(4, 3, padding="same", use_bias=False)
    model = model_of(layer, shape=(24, 24, 2))
    x = RNG.normal(size=(40, 24, 24, 2)).astype("float32")
    x = x + np.roll(x, 1, axis=1) + 2.0 * np.roll(x, 1, axis=2)  # neighbours are alike
    weights = {weight.path: weight for weight in prunable_weights(model)}
    batches = [x[start : start + 10] for start in range(0, 40, 10)]
    every = only(layer_inputs(model, weights, batches))
    drawn = only(layer_inputs(model, weights, batches, count=4))
    assert every.samples == 40 * 24 * 24
    assert drawn.samples == 128 * 18
    h, guess = (found.moments[0] / found.samples for found in (every, drawn))
    w, kept = np.float64(layer.kernel).reshape(18, 4), np.arange(18) % 2 == 0

    def best(h):
        change = np.linalg.solve(h[kept][:, kept], h[kept][:, ~kept] @ w[~kept])
        return np.where(kept[:, None], 0.0, w) - np.eye(18)[:, kept] @ change

    costs = [np.sum(delta * (h @ delta)) for delta in (best(h), best(guess))]
    assert costs[0] < costs[1] < 1.02 * costs[0]
    again = only(layer_inputs(model, weights, batches, count=4))
    assert np.array_equal(again.moments, drawn.moments)
