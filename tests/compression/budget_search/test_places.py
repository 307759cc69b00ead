"""Which weights the search decides on, and which it leaves."""

import keras
import numpy as np
import pytest

import tfprune
from tests.support.helpers import NamedByCount
from tfprune.compression.budget_search.building import plain_of
from tfprune.compression.budget_search.places import places_of

layers = keras.layers


def test_rules_hold_for_subclassed_models_whose_layers_are_named_by_a_count():
    model = NamedByCount()
    model(np.ones((1, 3)))
    one, two = (layer.kernel.path for layer in model.layers)
    copy = plain_of(model)
    found = places_of(copy, tfprune.structures_for("size"), ["pruning"], [(f"^{one}$", None)])
    assert [place.name for place in found] == [two]


def test_a_model_without_kernels_is_refused_with_the_reason():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.Dense(2)], name="integers")
    for layer in model.layers:
        layer.quantize("int8")
    data = np.ones((4, 4)), np.ones((4, 2))
    with pytest.raises(ValueError, match="have kernels.*Received: model 'integers'.*quantized"):
        tfprune.compress(model, {"macs": 0.5}, data, loss="mse", verbose=False)
