"""Every scorer works under every dtype policy of Keras."""

import keras
import numpy as np
import pytest

import tfprune
from tfprune import scorers

SCORERS = {
    **{name: scorers.get(name) for name in scorers.names()},
    "taylor, second order": scorers.Taylor(order=2, probes=2),
}


def masks_of(scorer, policy, data):
    """The masks of a small model at 50 %, the same weights under each policy."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(4, activation="tanh", dtype=policy, name="hidden"),
            keras.layers.Dense(3, dtype=policy, name="out"),
        ],
        name="m",
    )
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=w.shape) for w in model.weights])
    data = [array[:16] for array in data]
    pruned, _ = tfprune.one_shot(model, 0.5, scorer, data, "mse", verbose=False)
    return [layer.pruned[0].mask.numpy() for layer in pruned.layers]


@pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)
def test_a_policy_changes_no_more_than_rounding_does(scorer, data):
    exact = masks_of(scorer, "float64", data)
    assert sum(int(mask.sum()) for mask in exact) == 18
    for policy in ("mixed_bfloat16", "mixed_float16"):
        masks = masks_of(scorer, policy, data)
        assert sum(int(mask.sum()) for mask in masks) == 18
    for mask, same in zip(exact, masks_of(scorer, "float32", data), strict=True):
        assert np.array_equal(mask, same)
