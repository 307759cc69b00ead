"""Where tfprune.compat.tfmot agrees with tensorflow-model-optimization, run side by side."""

import keras
import numpy as np
import pytest
import tensorflow

from tests.support.compat import reference
from tests.support.compat.side_by_side import (
    assert_equal_masks,
    regression,
    steps_later,
    theirs,
    training,
)
from tfprune.compat import tfmot

POLYNOMIALS = [
    {"initial_sparsity": 0.0, "final_sparsity": 0.8, "begin_step": 0, "end_step": 100},
    {"initial_sparsity": 0.2, "final_sparsity": 0.9, "begin_step": 7, "end_step": 57},
    {"initial_sparsity": 0.5, "final_sparsity": 0.5, "begin_step": 0, "end_step": 10, "power": 1},
]
CONSTANTS = [
    {"target_sparsity": 0.5, "begin_step": 0},
    {"target_sparsity": 0.9, "begin_step": 13, "end_step": 43, "frequency": 10},
    {"target_sparsity": 0.0, "begin_step": 3, "end_step": -1, "frequency": 7},
]


def test_names_signatures_and_defaults_are_the_same():
    other = theirs(reference.signatures)
    assert len(other) == 11
    assert reference.signatures(tfmot.sparsity.keras) == other
    assert sorted(tfmot.sparsity.keras.__all__) == sorted(other)


@pytest.mark.parametrize("frequency", [1, 10])
@pytest.mark.parametrize("arguments", POLYNOMIALS)
def test_polynomial_decay_is_the_same_at_every_step(arguments, frequency):
    arguments = {**arguments, "frequency": frequency}
    steps = list(range(0, 120))
    other, config = theirs(reference.schedule_values, "PolynomialDecay", arguments, steps)
    schedule = tfmot.PolynomialDecay(**arguments)
    assert [schedule(step)[0] for step in steps] == [prune for prune, _ in other]
    ours = [schedule(step)[1] for step in steps]
    np.testing.assert_allclose(ours, [sparsity for _, sparsity in other], atol=1e-6)
    assert schedule.get_config() == config


@pytest.mark.parametrize("arguments", CONSTANTS)
def test_constant_sparsity_is_the_same_at_every_step(arguments):
    steps = list(range(0, 120))
    other, config = theirs(reference.schedule_values, "ConstantSparsity", arguments, steps)
    schedule = tfmot.ConstantSparsity(**arguments)
    assert [schedule(step)[0] for step in steps] == [prune for prune, _ in other]
    np.testing.assert_allclose(
        [schedule(step)[1] for step in steps], [sparsity for _, sparsity in other], atol=1e-7
    )
    assert schedule.get_config() == config


GRADUAL = (
    "PolynomialDecay",
    {
        "initial_sparsity": 0.2,
        "final_sparsity": 0.8,
        "begin_step": 0,
        "end_step": 8,
        "frequency": 2,
    },
)


@pytest.mark.parametrize(
    "options",
    [{}, {"block_size": (4, 2)}, {"block_size": (2, 4), "block_pooling_type": "MAX"}],
    ids=["unstructured", "block avg", "block max"],
)
def test_masks_of_dense_layers_are_the_same_over_training(options):
    kernels = reference.random_kernels((16, 32), (32, 8))
    x, y = regression(16, 8)
    ours = training(kernels, x, y, GRADUAL, options)
    other = theirs(reference.training, kernels, x, y, steps_later(GRADUAL), options)
    assert_equal_masks(ours["used"], other["masks"])
    for left, right in zip(ours["stripped"], other["stripped"]):
        np.testing.assert_array_equal(left != 0, right != 0)
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_masks_of_convolutions_are_the_same_over_training():
    kernels = reference.random_kernels((3, 3, 4, 8), (2, 2, 8, 4))
    x, y = regression((6, 6, 4), (3, 3, 4))
    ours = training(kernels, x, y, GRADUAL)
    other = theirs(reference.training, kernels, x, y, steps_later(GRADUAL))
    assert_equal_masks(ours["used"], other["masks"])


@pytest.mark.filterwarnings("ignore:The last groups of a pattern are shorter")
@pytest.mark.parametrize("pattern", [(2, 4), (3, 4), (5, 8)])
def test_m_by_n_masks_are_the_same(pattern):
    dense = reference.random_kernels((18, 12), (12, 6))
    convolution = reference.random_kernels((3, 3, 10, 8))
    schedule = ("ConstantSparsity", {"target_sparsity": 0.5, "begin_step": 0, "end_step": 0})
    for kernels, x, y in (
        (dense, *regression(18, 6, 2)),
        (convolution, *regression((6, 6, 10), (4, 4, 8), 2)),
    ):
        options = {"sparsity_m_by_n": pattern}
        ours = training(kernels, x, y, schedule, options)
        other = theirs(reference.training, kernels, x, y, schedule, options)
        assert_equal_masks(ours["used"], other["masks"])


def test_xnnpack_policy_gives_the_same_verdicts():
    other = theirs(reference.policy_verdicts)
    policy = tfmot.PruneForLatencyOnXNNPack()
    ours = {}
    for name, model in reference.image_models(keras).items():
        allowed = [layer.name for layer in model.layers if policy.allow_pruning(layer)]
        try:
            policy.ensure_model_supports_pruning(model)
            ours[name] = allowed
        except ValueError:
            ours[name] = "refused"
    assert ours == other
    assert sum(verdict == "refused" for verdict in ours.values()) == 14


SCRIPT = """
import numpy as np
{import_line}
from tensorflow import keras

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
x = rng.normal(size=(320, 20)).astype("float32")
y = (x[:, 0] > 0).astype("int32")
model = keras.Sequential([
    keras.Input((20,)),
    keras.layers.Dense(32, activation="relu"),
    keras.layers.BatchNormalization(),
    keras.layers.Dense(2, activation="softmax"),
])
loss = keras.losses.SparseCategoricalCrossentropy()
model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
model.fit(x, y, epochs=5, verbose=0)

end_step = np.ceil(len(x) / 32).astype(np.int32) * 10
pruned = tfmot.sparsity.keras.prune_low_magnitude(
    model,
    pruning_schedule=tfmot.sparsity.keras.PolynomialDecay(
        initial_sparsity=0.50, final_sparsity=0.80, begin_step=0, end_step=end_step, frequency=10
    ),
)
pruned.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
pruned.fit(x, y, epochs=10, verbose=0, callbacks=[tfmot.sparsity.keras.UpdatePruningStep()])
final = tfmot.sparsity.keras.strip_pruning(pruned)
final.compile(loss=loss, metrics=["accuracy"])
found = {{
    "keras": type(model).__module__.partition(".")[0],
    "sparsity": [float((w == 0).mean()) for w in final.get_weights() if w.ndim == 2],
    "layers": [type(layer).__name__ for layer in final.layers],
    "accuracy": final.evaluate(x, y, verbose=0)[1],
}}
"""


def test_script_that_differs_in_its_import_line_alone_runs(monkeypatch):
    # Whatever imported the other package in this process has redirected `tf.keras` for good.
    monkeypatch.setattr(tensorflow, "keras", keras)
    other = theirs(
        reference.run_script,
        SCRIPT.format(import_line="import tensorflow_model_optimization as tfmot"),
    )
    ours = reference.run_script(SCRIPT.format(import_line="from tfprune.compat import tfmot"))
    assert (ours.pop("keras"), other.pop("keras")) == ("keras", "tf_keras")
    assert ours["layers"] == other["layers"] == ["Dense", "BatchNormalization", "Dense"]
    assert ours["sparsity"] == other["sparsity"] == [0.8, 0.796875]
    assert min(ours["accuracy"], other["accuracy"]) > 0.8
