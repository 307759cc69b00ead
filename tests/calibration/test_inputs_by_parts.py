import keras
import numpy as np
import pytest

import tfprune
from tfprune.calibration import evidence
from tfprune.calibration.inputs_by_parts import InputsByParts


def test_parts_fit_in_the_budget_and_one_is_in_memory():
    asked = []

    def measure(names):
        asked.append(list(names))
        return {name: name.upper() for name in names}

    shapes = {"a": (1, 4), "b": (4, 2), "large": (3, 4), "c": (1, 4)}
    inputs = InputsByParts(shapes, 256, measure)
    assert inputs.parts == [["a", "b"], ["large"], ["c"]]
    assert list(inputs) == ["a", "b", "large", "c"] and len(inputs) == 4 and "d" not in inputs
    assert [inputs[name] for name in inputs] == ["A", "B", "LARGE", "C"]
    assert asked == inputs.parts
    assert inputs["b"] == "B" and asked[-1] == ["a", "b"]
    with pytest.raises(KeyError):
        inputs["d"]


def test_a_small_budget_takes_more_passes_and_finds_the_same(monkeypatch):
    model = keras.Sequential([keras.Input((6,))])
    for name in ("first", "second", "third"):
        model.add(keras.layers.Dense(6, activation="relu", name=name))
    x = np.random.default_rng(0).normal(size=(200, 6)).astype("float32")
    measure, passes, kernels = evidence.layer_inputs, [], []

    def counted(model, weights, batches, **options):
        passes.append(len(weights))
        return measure(model, weights, batches, **options)

    monkeypatch.setattr(evidence, "layer_inputs", counted)
    for budget in (1 << 30, 600):  # the moments of a kernel take 288 bytes
        pruned, _ = tfprune.one_shot(
            model, 0.5, "reconstruction", x, memory_budget=budget, verbose=False
        )
        kernels.append([np.array(layer.kernel) for layer in tfprune.strip_pruning(pruned).layers])
    assert passes == [3, 2, 1, 2, 1]  # for scores, and again for the refit
    for one, other in zip(*kernels):
        assert np.array_equal(one, other) and np.count_nonzero(one) == 18
