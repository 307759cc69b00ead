"""Sensitivity: the loss with one weight pruned, against models masked by hand; table and plot."""

import io
import json
import os

import keras
import numpy as np
import pytest
from matplotlib import image

import tfprune
from tfprune.calibration.source import EvidenceSource
from tfprune.pruning.sensitivity_analysis import Sensitivity, sensitivity
from tfprune.scorers import Fisher, Reconstruction

PATHS = ["mlp/hidden/kernel", "mlp/out/kernel"]


def mse(model, data):
    """Mean squared error in float64, from the model's own predictions."""
    x, y = data
    return float(np.mean((model.predict(x, verbose=0).astype(np.float64) - y) ** 2))


def masked_by_hand(model, layer, sparsity):
    """A copy of the model without the smallest weights of one kernel."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    kernel = copy.get_layer(layer).kernel
    values = kernel.numpy()
    order = np.argsort(np.abs(values), axis=None)[: round(sparsity * values.size)]
    values.reshape(-1)[order] = 0
    kernel.assign(values)
    return copy


def made(increases, examples=64):
    """A result with these increases over a dense loss of 1: name -> one value a sparsity."""
    losses = {
        name: {0.5 + 0.1 * place: 1 + value for place, value in enumerate(values)}
        for name, values in increases.items()
    }
    return Sensitivity("net", "Magnitude", examples, 1.0, losses)


def test_losses_are_those_of_models_masked_by_hand(mlp, data):
    found = sensitivity(mlp, data, loss="mse", sparsities=(0.5, 0.9))
    assert list(found.losses) == PATHS and found.examples == 64
    assert found.dense_loss == pytest.approx(mse(mlp, data), rel=1e-5)
    for layer in ("hidden", "out"):
        for sparsity, loss in found.losses[f"mlp/{layer}/kernel"].items():
            expected = mse(masked_by_hand(mlp, layer, sparsity), data)
            assert loss == pytest.approx(expected, rel=1e-5)
            assert loss != pytest.approx(found.dense_loss, rel=1e-3)


@pytest.mark.parametrize("scorer", ["magnitude", "fisher"])
def test_sparsity_zero_gives_the_dense_loss_after_any_other(mlp, data, scorer):
    found = sensitivity(mlp, data, scorer, "mse", sparsities=(0.9, 0.0), update_weights=True)
    assert found.sparsities == [0.0, 0.9]
    assert all(found.losses[path][0.0] == found.dense_loss for path in PATHS)


def test_model_and_its_compilation_stay_as_they_were(mlp, data):
    mlp.compile("adam", "mse")
    before = [value.copy() for value in mlp.get_weights()]
    sensitivity(mlp, data, "fisher", sparsities=(0.9,))
    assert all(np.array_equal(a, b) for a, b in zip(before, mlp.get_weights()))
    assert mlp.loss == "mse" and type(mlp.layers[0]) is keras.layers.Dense


def test_interruption_leaves_the_model_unchanged(mlp, data, monkeypatch):
    before = [value.copy() for value in mlp.get_weights()]
    calls = []

    def interrupt(self):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return 1.0

    monkeypatch.setattr(EvidenceSource, "loss", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sensitivity(mlp, data, loss="mse")
    assert len(calls) == 3
    assert all(np.array_equal(a, b) for a, b in zip(before, mlp.get_weights()))


def test_weights_are_scored_once_on_the_dense_model(mlp, data):
    seen = []

    class Counting(Fisher):
        def __call__(self, weights, gradients):
            seen.append(all(mask.all() for mask in gradients.masks.values()))
            return super().__call__(weights, gradients)

    counted = sensitivity(mlp, data, Counting(), "mse", sparsities=(0.5, 0.9))
    assert seen == [True]
    assert counted.losses == sensitivity(mlp, data, "fisher", "mse", sparsities=(0.5, 0.9)).losses


def test_weight_update_changes_the_pruned_weight_alone():
    """In a linear model reconstruction is exact least squares: the update must help."""
    random = np.random.default_rng(0)
    mix = random.normal(size=(12, 12))
    x = (random.normal(size=(200, 12)) @ mix).astype("float32")
    layers = [keras.layers.Dense(6, name="first"), keras.layers.Dense(4, name="second")]
    model = keras.Sequential([keras.Input((12,)), *layers], name="m")
    data = (x, model.predict(x, verbose=0))
    removed, updated = (
        sensitivity(model, data, Reconstruction(), "mse", sparsities=(0.5,), update_weights=update)
        for update in (False, True)
    )
    assert removed.dense_loss == updated.dense_loss == pytest.approx(0, abs=1e-9)
    for path in ("m/first/kernel", "m/second/kernel"):
        assert 0 < updated.losses[path][0.5] < 0.7 * removed.losses[path][0.5]


@pytest.mark.filterwarnings("ignore:Channels are removed that the model returns")
def test_structure_rules_and_frozen_layers_are_followed(mlp, data):
    channels = sensitivity(mlp, data, loss="mse", sparsities=(0.9,), structure=tfprune.Channel())
    kernel = mlp.get_layer("hidden").kernel.numpy()
    copy = keras.models.clone_model(mlp)
    copy.set_weights(mlp.get_weights())
    best = np.argsort(-np.abs(kernel).sum(axis=0))[:2]
    copy.get_layer("hidden").kernel.assign(kernel * np.isin(np.arange(20), best))
    assert channels.losses[PATHS[0]][0.9] == pytest.approx(mse(copy, data), rel=1e-5)
    ruled = sensitivity(mlp, data, loss="mse", sparsities=(0.9,), rules=[("hidden/.*", None)])
    assert list(ruled.losses) == [PATHS[1]]
    mlp.get_layer("out").trainable = False
    assert list(sensitivity(mlp, data, loss="mse", sparsities=(0.9,)).losses) == [PATHS[0]]


def test_paths_are_those_of_the_model_given_and_a_shared_layer_counts_once(data):
    shared = keras.layers.Dense(6, name="shared")
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, name="out")], name="inner")
    inputs = keras.Input((6,))
    model = keras.Model(inputs, inner(shared(shared(inputs))))
    found = sensitivity(model, data, loss="mse", sparsities=(0.5,))
    prunable = [weight.path for weight in model.weights if weight.name == "kernel"]
    assert list(found.losses) == prunable and len(prunable) == 2


def test_few_examples_will_do_and_are_counted(mlp, data):
    few = tuple(part[:5] for part in data)
    assert sensitivity(mlp, few, "fisher", "mse", sparsities=(0.5,)).examples == 5
    assert sensitivity(mlp, data, loss="mse", sparsities=(0.5,), examples=10).examples == 10


def test_ranking_is_by_mean_increase_and_orders_the_table():
    found = made({"a": [0.1, 0.9], "b": [0.6, 0.6], "c": [-0.1, 0.1], "d": [0.0, 0.0]})
    assert found.mean_increase("a") == pytest.approx(0.5)
    assert found.ranking() == ["b", "a", "c", "d"]
    rows = [line.split() for line in str(found).splitlines()]
    assert [row[0] for row in rows[-4:]] == ["b", "a", "c", "d"]
    assert rows[2][-3:] == ["50%", "60%", "mean"] and rows[-3][1:] == ["0.1", "0.9", "0.5"]
    assert "64 examples, dense loss 1" in str(found)


def test_dictionary_is_json_and_keeps_every_number(mlp, data):
    found = sensitivity(mlp, data, loss="mse", sparsities=(0.9, 0.5))
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain == found.to_dict()
    assert plain["sparsities"] == [0.5, 0.9] and plain["scorer"] == "Magnitude"
    assert [w["path"] for w in plain["weights"]] == PATHS
    assert [w["losses"] for w in plain["weights"]] == [[*v.values()] for v in found.losses.values()]


@pytest.mark.parametrize("count, sparsities", [(1, 1), (8, 5), (9, 1), (20, 5)])
def test_plot_is_a_picture_with_something_in_it(count, sparsities):
    random = np.random.default_rng(0)
    found = made({f"layer{i}/kernel": random.normal(size=sparsities) for i in range(count)})
    pixels = image.imread(io.BytesIO(found.plot()), format="png")
    assert pixels.shape[0] >= 400 and pixels.shape[1] >= 600
    assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 50
    assert np.all(pixels[0, 0] == 1)  # white, not transparent


@pytest.mark.parametrize("count, value", [(3, 0.0), (12, -0.5)])
def test_plot_takes_a_model_that_nothing_harms(count, value):
    found = made({f"layer{i}/kernel": [value] * 3 for i in range(count)})
    assert image.imread(io.BytesIO(found.plot()), format="png").ndim == 3


def test_saved_plot_replaces_the_file_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "plot.png"
    path.write_bytes(b"old")
    found = made({"a/kernel": [0.1, 0.2]})
    with monkeypatch.context() as patch:
        patch.setattr(Sensitivity, "plot", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            found.save_plot(path)
    assert path.read_bytes() == b"old"
    found.save_plot(path)
    assert path.read_bytes() == found.plot() and os.listdir(tmp_path) == ["plot.png"]
    with pytest.raises(ValueError, match="`path` must be writable"):
        found.save_plot(tmp_path / "no" / "plot.png")


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"sparsities": ()}, ValueError, "`sparsities` must be different numbers"),
        ({"sparsities": (0.5, 0.5)}, ValueError, "`sparsities` must be different numbers"),
        ({"sparsities": 0.5}, TypeError, "`sparsities` must be a sequence"),
        ({"sparsities": "0.5"}, TypeError, "`sparsities` must be a sequence"),
        ({"sparsities": (0.5, 1.0)}, ValueError, r"`sparsities` must be in \[0, 1\)"),
        ({"sparsities": (0.5, float("nan"))}, ValueError, r"`sparsities` must be in \[0, 1\)"),
        ({"sparsities": ("half",)}, TypeError, "`sparsities` must be a number"),
        ({"structure": "block"}, TypeError, "`structure` must be"),
        ({"structure": tfprune.NofM(2, 4)}, ValueError, "`sparsity` must be <= 1 - kept/m"),
        ({"rules": [("hidden/.*", 0.5)]}, TypeError, r"must be \(regex, None\)"),
        ({"rules": [("none/.*", None)]}, ValueError, "A rule must match"),
        ({"rules": 5}, TypeError, "`rules` must be a list"),
        ({"rules": "hidden"}, TypeError, "`rules` must be a list"),
        ({"scorer": "magic"}, ValueError, "`scorer` must be one of"),
        ({"loss": None}, ValueError, "`loss` must be given"),
        ({"loss": "magic"}, ValueError, "magic"),
        ({"data": None}, ValueError, "`data` must be given"),
        ({"examples": 1}, ValueError, "`examples` must be >= 2"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_measured(
    mlp, data, monkeypatch, options, error, message
):
    def fail(self):
        raise AssertionError("a loss was computed")

    monkeypatch.setattr(EvidenceSource, "loss", fail)
    with pytest.raises(error, match=message):
        sensitivity(**{"model": mlp, "data": data, "loss": "mse", **options})


def test_frozen_pruned_and_wrong_models_are_refused(mlp, data):
    pruned = tfprune.prune(mlp, tfprune.OneShot(0.5))
    with pytest.raises(ValueError, match="pruned already"):
        sensitivity(pruned, data, loss="mse")
    with pytest.raises(TypeError, match="`model` must be a keras.Model"):
        sensitivity("model.keras", data, loss="mse")
    mlp.trainable = False
    with pytest.raises(ValueError, match="only frozen ones"):
        sensitivity(mlp, data, loss="mse")


def test_a_metric_takes_the_place_of_loss_and_data(mlp):
    """Here by how much the outputs change, on inputs of the metric's own."""
    x = np.random.default_rng(3).normal(size=(40, 6)).astype("float32")
    before = np.array(mlp(x))

    def change(model):
        return np.mean((np.array(model(x)) - before) ** 2)

    found = tfprune.sensitivity(mlp, metric=change, sparsities=(0.5, 0.9))
    assert found.dense_loss == 0.0 and found.measured == "change" and found.examples == 0
    assert all(0 < losses[0.5] < losses[0.9] for losses in found.losses.values())
    assert "change - dense change at" in str(found)
    with pytest.raises(TypeError, match="`metric` must be a number.*Received"):
        tfprune.sensitivity(mlp, metric=lambda model: "good")
    with pytest.raises(ValueError, match="`data` must be given"):
        tfprune.sensitivity(mlp)


def test_rules_prune_each_weight_as_far_as_it_bears(mlp, data):
    found = tfprune.sensitivity(mlp, data, loss="mse", sparsities=(0.1, 0.3, 0.5, 0.9))
    tolerance = max(0.0, found.increases(PATHS[0])[1]) + 0.001
    rules = dict(found.rules(tolerance))
    assert list(rules) == PATHS
    for path, sparsity in rules.items():
        increases = dict(zip(found.sparsities, found.increases(path)))
        assert sparsity is None or increases[sparsity] <= tolerance
        later = [s for s in found.sparsities if s > (sparsity or 0.0)]
        assert not later or increases[later[0]] > tolerance
    pruned = tfprune.prune(mlp, tfprune.OneShot(0.99), rules=found.rules(tolerance))
    stripped = tfprune.strip_pruning(pruned)
    zeros = 1.0 - np.count_nonzero(stripped.layers[0].kernel) / 120
    assert zeros == pytest.approx(rules[PATHS[0]] or 0.0, abs=1 / 120)
    assert [value for _, value in found.rules(1e9)] == [0.9, 0.9]
