"""tfprune.compat.tfmot against tensorflow-model-optimization, run side by side."""

import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import compat_reference as reference
import keras
import numpy as np
import pytest

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


@pytest.fixture(scope="module")
def theirs():
    """Calls a function of compat_reference in a process that has the other package."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        yield lambda function, *args, **kwargs: executor.submit(function, *args, **kwargs).result()


def training(kernels, x, y, schedule, options=None, batch_size=1, learning_rate=0.01):
    """The same as reference.training, here; masks before each batch are recorded as well."""
    name, arguments = schedule
    build = reference.dense_model if kernels[0].ndim == 2 else reference.conv_model
    original = build(keras, kernels)
    pruned = tfmot.prune_low_magnitude(
        original, pruning_schedule=getattr(tfmot, name)(**arguments), **(options or {})
    )
    record = {"used": [], "masks": [], "weights": []}

    def masks():
        return [own.mask.numpy() for layer in pruned.layers for own in layer.pruned]

    def begin(batch, logs=None):
        record["used"].append(masks())

    def end(batch, logs=None):
        record["masks"].append(masks())
        record["weights"].append([w.numpy() for w in pruned.trainable_variables])

    pruned.compile(keras.optimizers.SGD(learning_rate), "mse")
    recorder = keras.callbacks.LambdaCallback(on_train_batch_begin=begin, on_train_batch_end=end)
    callbacks = [tfmot.UpdatePruningStep(), recorder]
    pruned.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, callbacks=callbacks)
    record["stripped"] = tfmot.strip_pruning(pruned).get_weights()
    record["original"] = original.get_weights()
    return record


def regression(inputs, outputs, samples=9):
    rng = np.random.default_rng(1)
    shape = (samples, inputs) if isinstance(inputs, int) else (samples, *inputs)
    x = rng.normal(size=shape).astype(np.float32)
    targets = (samples, outputs) if isinstance(outputs, int) else (samples, *outputs)
    return x, rng.normal(size=targets).astype(np.float32)


def steps_later(schedule, by=1):
    name, arguments = schedule
    moved = {
        key: value + by if key in ("begin_step", "end_step") else value
        for key, value in arguments.items()
    }
    return name, moved


def assert_equal_masks(ours, other):
    assert len(ours) == len(other)
    for step, (left, right) in enumerate(zip(ours, other)):
        for index, (a, b) in enumerate(zip(left, right, strict=True)):
            np.testing.assert_array_equal(a, b, err_msg=f"step {step}, layer {index}")


def test_names_signatures_and_defaults_are_the_same(theirs):
    other = theirs(reference.signatures)
    assert len(other) == 11
    assert reference.signatures(tfmot.sparsity.keras) == other
    assert sorted(tfmot.sparsity.keras.__all__) == sorted(other)


@pytest.mark.parametrize("frequency", [1, 10])
@pytest.mark.parametrize("arguments", POLYNOMIALS)
def test_polynomial_decay_is_the_same_at_every_step(theirs, arguments, frequency):
    arguments = {**arguments, "frequency": frequency}
    steps = list(range(0, 120))
    other, config = theirs(reference.schedule_values, "PolynomialDecay", arguments, steps)
    schedule = tfmot.PolynomialDecay(**arguments)
    assert [schedule(step)[0] for step in steps] == [prune for prune, _ in other]
    ours = [schedule(step)[1] for step in steps]
    np.testing.assert_allclose(ours, [sparsity for _, sparsity in other], atol=1e-6)
    assert schedule.get_config() == config


@pytest.mark.parametrize("arguments", CONSTANTS)
def test_constant_sparsity_is_the_same_at_every_step(theirs, arguments):
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
def test_masks_of_dense_layers_are_the_same_over_training(theirs, options):
    kernels = reference.random_kernels((16, 32), (32, 8))
    x, y = regression(16, 8)
    ours = training(kernels, x, y, GRADUAL, options)
    other = theirs(reference.training, kernels, x, y, steps_later(GRADUAL), options)
    assert_equal_masks(ours["used"], other["masks"])
    for left, right in zip(ours["stripped"], other["stripped"]):
        np.testing.assert_array_equal(left != 0, right != 0)
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_masks_of_convolutions_are_the_same_over_training(theirs):
    kernels = reference.random_kernels((3, 3, 4, 8), (2, 2, 8, 4))
    x, y = regression((6, 6, 4), (3, 3, 4))
    ours = training(kernels, x, y, GRADUAL)
    other = theirs(reference.training, kernels, x, y, steps_later(GRADUAL))
    assert_equal_masks(ours["used"], other["masks"])


@pytest.mark.parametrize("pattern", [(2, 4), (1, 4), (3, 4), (1, 2), (5, 8)])
def test_m_by_n_masks_are_the_same(theirs, pattern):
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


def test_update_here_at_step_k_sees_the_weights_of_an_update_there_at_k_plus_1(theirs):
    kernels = reference.random_kernels((16, 8))
    x, y = regression(16, 8, samples=6)
    once = ("ConstantSparsity", {"target_sparsity": 0.5, "begin_step": 3, "end_step": 3})
    ours = training(kernels, x, y, once, learning_rate=0.3)
    same = theirs(reference.training, kernels, x, y, once, learning_rate=0.3)
    later = theirs(reference.training, kernels, x, y, steps_later(once), learning_rate=0.3)
    first_sparse = [
        next(k for k, (mask,) in enumerate(run["masks"], 1) if not mask.all())
        for run in (ours, same, later)
    ]
    assert first_sparse == [3, 3, 4]  # with the same numbers, in the same training step
    np.testing.assert_array_equal(ours["masks"][-1][0], later["masks"][-1][0])
    assert (ours["masks"][-1][0] != same["masks"][-1][0]).any()


def test_default_schedule_prunes_at_once_here_and_not_before_step_100_there(theirs):
    kernels = reference.random_kernels((16, 8))
    x, y = regression(16, 8, samples=100)
    schedule = ("ConstantSparsity", {"target_sparsity": 0.5, "begin_step": 0})
    ours = training(kernels, x, y, schedule)
    other = theirs(reference.training, kernels, x, y, schedule)
    assert [float(mask.mean()) for (mask,) in ours["used"]] == [0.5] * 100
    assert [float(mask.mean()) for (mask,) in other["masks"]] == [1.0] * 99 + [0.5]


def test_span_not_divided_by_the_frequency_ends_at_the_target_here_only(theirs):
    arguments = {"initial_sparsity": 0.0, "final_sparsity": 0.8, "begin_step": 0, "end_step": 250}
    steps = list(range(1, 400))
    other, _ = theirs(reference.schedule_values, "PolynomialDecay", arguments, steps)
    schedule = tfmot.PolynomialDecay(**arguments)
    ours = [(step, schedule(step)[1]) for step in steps if schedule(step)[0]]
    fired = [(step, sparsity) for step, (prune, sparsity) in zip(steps, other) if prune]
    assert [step for step, _ in fired] == [100, 200]
    assert [step for step, _ in ours] == [100, 200, 250]
    assert fired[-1][1] == pytest.approx(0.7936, abs=1e-6)
    assert ours[-1][1] == 0.8


def test_equal_weights_are_pruned_here_and_all_kept_there(theirs):
    kernels = [np.ones((6, 4), np.float32)]
    x, y = np.zeros((1, 6), np.float32), np.zeros((1, 4), np.float32)
    schedule = ("ConstantSparsity", {"target_sparsity": 0.75, "begin_step": 1, "frequency": 1})
    assert theirs(reference.training, kernels, x, y, schedule)["masks"][-1][0].all()
    mask = training(kernels, x, y, schedule)["masks"][-1][0]
    assert mask.ravel().tolist() == [True] * 6 + [False] * 18


def test_blocks_that_do_not_divide_the_axis_are_scored_in_place_here_and_one_off_there(theirs):
    (kernel,) = reference.random_kernels((16, 30))
    kernel[:4, 3] = 9.0  # the last column of the first block
    x, y = np.zeros((1, 16), np.float32), np.zeros((1, 30), np.float32)
    schedule = ("ConstantSparsity", {"target_sparsity": 31 / 32, "begin_step": 1, "frequency": 1})
    options = {"block_size": (4, 4), "block_pooling_type": "MAX"}
    ours = training([kernel], x, y, schedule, options)
    other = theirs(reference.training, [kernel], x, y, schedule, options)
    first, second = np.zeros((2, 16, 30), bool)
    first[:4, :4] = second[:4, 4:8] = True
    np.testing.assert_array_equal(ours["masks"][-1][0], first)
    np.testing.assert_array_equal(other["masks"][-1][0], second)


def test_m_by_n_follows_the_schedule_here_and_ignores_it_there(theirs):
    kernels = reference.random_kernels((16, 8))
    x, y = regression(16, 8, samples=4)
    schedule = ("ConstantSparsity", {"target_sparsity": 0.25, "begin_step": 2})
    options = {"sparsity_m_by_n": (2, 4)}
    ours = training(kernels, x, y, schedule, options)
    other = theirs(reference.training, kernels, x, y, schedule, options)
    assert [float(mask.mean()) for (mask,) in other["masks"]] == [0.5] * 4
    assert [float(mask.mean()) for (mask,) in ours["masks"]] == [1.0, 0.5, 0.5, 0.5]


def test_masked_weight_may_come_back_here_and_is_zeroed_there(theirs):
    kernel = np.array([[1.0], [0.9]], np.float32)
    x, y = np.ones((4, 2), np.float32), np.zeros((4, 1), np.float32)
    schedule = ("ConstantSparsity", {"target_sparsity": 0.5, "begin_step": 1, "frequency": 1})
    ours = training([kernel], x, y, schedule, learning_rate=0.02)
    other = theirs(reference.training, [kernel], x, y, schedule, learning_rate=0.02)
    assert [mask.ravel().tolist() for (mask,) in other["masks"]] == [[True, False]] * 4
    assert [mask.ravel().tolist() for (mask,) in ours["masks"]][-1] == [False, True]


def test_original_model_is_untouched_here_and_changed_there(theirs):
    kernels = reference.random_kernels((16, 8))
    x, y = regression(16, 8, samples=4)
    schedule = ("ConstantSparsity", {"target_sparsity": 0.5, "begin_step": 1, "frequency": 1})
    ours = training(kernels, x, y, schedule)
    other = theirs(reference.training, kernels, x, y, schedule)
    np.testing.assert_array_equal(ours["original"][0], kernels[0])
    assert (other["original"][0] == 0).mean() == 0.5


def test_xnnpack_policy_gives_the_same_verdicts(theirs):
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
    assert sum(verdict == "refused" for verdict in ours.values()) == 13


SCRIPT = """
import json
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
print(json.dumps({{
    "sparsity": [float((w == 0).mean()) for w in final.get_weights() if w.ndim == 2],
    "layers": [type(layer).__name__ for layer in final.layers],
    "accuracy": final.evaluate(x, y, verbose=0)[1],
}}))
"""


def run_script(import_line, legacy):
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": legacy, "KERAS_BACKEND": "tensorflow"}
    code = SCRIPT.format(import_line=import_line)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_script_that_differs_in_its_import_line_alone_runs():
    other = run_script("import tensorflow_model_optimization as tfmot", "1")
    ours = run_script("from tfprune.compat import tfmot", "0")
    assert ours["layers"] == other["layers"] == ["Dense", "BatchNormalization", "Dense"]
    assert ours["sparsity"] == other["sparsity"] == [0.8, 0.796875]
    assert min(ours["accuracy"], other["accuracy"]) > 0.8
