"""One-shot pruning in stages, and gradual pruning with scorers that need gradients."""

import keras
import numpy as np
import pytest

import tfprune
from tests.support.helpers import fit, sparsity
from tfprune import scorers
from tfprune.scorers.protocol import preferred_distribution
from tfprune.sparsity.stages import Stages
from tfprune.wrapping.pruned_layer import pruned_layers

# One of a kind where many would do the same; every registered scorer is tried once below.
SCORERS = {name: scorers.get(name) for name in scorers.names()} | {"obd": scorers.OBD(probes=4)}


def small(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(12, use_bias=False, name="hidden"),
            keras.layers.BatchNormalization(),
            keras.layers.Activation("tanh"),
            keras.layers.Dense(3, name="out"),
        ],
        name="small",
    )


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_every_scorer_prunes_to_the_exact_count_in_stages(name, data):
    model = small()
    before = [np.array(v) for v in model.variables]
    pruned, report = tfprune.one_shot(model, 0.7, SCORERS[name], data, "mse", stages=2)
    kept = [int(np.sum(pruned.get_layer(name).pruned[0].mask)) for name in ("hidden", "out")]
    if preferred_distribution(SCORERS[name]) == "global":
        assert sum(kept) == round(0.3 * 108)
    else:
        assert kept == [round(0.3 * 72), round(0.3 * 36)]
    assert [round(stage.sparsity, 4) for stage in report.stages] == [0.4523, 0.7]
    assert report.examples == report.batch_norm_examples == 64
    assert all(np.array_equal(a, np.array(v)) for a, v in zip(before, model.variables))


def test_measured_changes_are_those_of_the_loss(data):
    model = small()
    model.compile(loss="mse")
    pruned, report = tfprune.one_shot(
        model, 0.8, "fisher", data, stages=3, spacing="linear", refresh_batch_norm=False
    )
    assert report.stages[0].loss_before == pytest.approx(model.evaluate(*data, verbose=0), rel=1e-5)
    pruned.compile(loss="mse")
    assert report.loss_after == pytest.approx(pruned.evaluate(*data, verbose=0), rel=1e-5)
    for earlier, later in zip(report.stages, report.stages[1:]):
        assert later.loss_before == earlier.loss_after
        assert later.sparsity - earlier.sparsity == pytest.approx(0.8 / 3)
    assert report.to_dict()["stages"][2]["measured_change"] == report.stages[2].measured_change


def test_the_report_counts_the_parameters_of_the_whole_model(data):
    model = small()
    pruned, report = tfprune.one_shot(model, 0.75, "magnitude", data, "mse")
    stripped = tfprune.strip_pruning(pruned)
    assert report.parameters == model.count_params() == 159
    assert report.nonzeros == sum(np.count_nonzero(array) for array in stripped.get_weights())
    values = report.to_dict()
    assert values["compression_rate"] == report.parameters / report.nonzeros > 1
    assert values["space_saving"] == (159 - report.nonzeros) / 159
    assert values["speed_up"] is None
    rate, speed = str(report).splitlines()[-2:]
    assert rate.startswith(f"parameters: 159, of which {report.nonzeros} are not zero")
    assert f"compression rate {report.compression_rate:.2f}" in rate
    assert speed.startswith("speed-up: not measured")


def test_the_model_can_be_looked_at_after_each_stage(data):
    seen = []

    def look(pruned, result):
        seen.append((sparsity(pruned, "hidden"), result))

    _, report = tfprune.one_shot(
        small(), 0.75, "magnitude", data, "mse", stages=3, spacing="linear", on_stage=look
    )
    assert [value for value, _ in seen] == [0.25, 0.5, 0.75]
    assert tuple(result for _, result in seen) == report.stages


def test_woodfisher_changes_kept_weights_only_if_asked_to(data):
    model = small()
    for update in (True, False):
        pruned, _ = tfprune.one_shot(model, 0.5, "woodfisher", data, "mse", update_weights=update)
        own = pruned.get_layer("out").pruned[0]
        mask, kernel = np.array(own.mask), np.array(model.get_layer("out").kernel)
        assert np.array_equal(np.array(own.weight)[mask], kernel[mask]) != update
        assert np.array_equal(np.array(own.weight)[~mask], kernel[~mask])  # kept, out of sight


def test_woodfisher_predicts_what_a_small_removal_costs(data):
    model = fit(small(), data, epochs=30, callbacks=[], optimizer=keras.optimizers.Adam(0.01))
    _, report = tfprune.one_shot(
        model, 0.1, scorers.WoodFisher(damping=1e-6), data, "mse", refresh_batch_norm=False
    )
    (stage,) = report.stages
    assert stage.predicted_change > 0
    assert abs(stage.measured_change) < 0.2 * stage.loss_before


def test_a_pruned_model_is_fine_tuned_at_its_sparsity_without_a_callback(data):
    pruned, _ = tfprune.one_shot(small(), 0.75, "taylor", data, "mse", distribution="uniform")
    mask = np.array(pruned.get_layer("hidden").pruned[0].mask)
    for callbacks in ([], [tfprune.UpdatePruningStep()]):
        fit(pruned, data, epochs=2, callbacks=callbacks)
        assert np.array_equal(mask, np.array(pruned.get_layer("hidden").pruned[0].mask))
    assert sparsity(pruned, "hidden") == 0.75


def test_rules_structures_and_distributions_hold(data):
    pruned, _ = tfprune.one_shot(
        small(), 0.5, "fisher", data, "mse", structure=tfprune.Block(2, 1), rules=[("out/.*", None)]
    )
    mask = np.array(pruned.get_layer("hidden").pruned[0].mask)
    assert np.array_equal(mask[::2], mask[1::2]) and sparsity(pruned, "out") == 0
    pruned, _ = tfprune.one_shot(
        small(), 0.6, scorers.WoodFisher(scope="global"), data, "mse", update_weights=False
    )
    counts = [int(np.sum(pruned.get_layer(name).pruned[0].mask)) for name in ("hidden", "out")]
    assert sum(counts) == round(0.4 * 108) and counts[0] / 72 != counts[1] / 36


def test_few_examples_work_and_are_counted(data):
    _, report = tfprune.one_shot(small(), 0.5, "woodfisher", data, "mse", examples=1000)
    assert report.examples == 64 and "64 examples" in str(report)
    _, report = tfprune.one_shot(small(), 0.5, "woodfisher", data, "mse", examples=10)
    assert report.examples == 10


def test_data_of_every_kind_gives_the_same_masks(data):
    def masks(source):
        pruned, _ = tfprune.one_shot(small(), 0.5, "woodfisher", source, "mse", examples=None)
        return [np.array(layer.pruned[0].mask) for layer in pruned_layers(pruned)]

    wanted = masks(data)
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(data).batch(10)
    for other in (dataset, iter([(data[0][:30], data[1][:30]), (data[0][30:], data[1][30:])])):
        assert all(np.array_equal(a, b) for a, b in zip(wanted, masks(other), strict=True))


@pytest.mark.parametrize("scorer", ["taylor", "fisher", "woodfisher", "movement", "snip"])
def test_gradient_scores_prune_gradually_in_fit(scorer, data):
    schedule = tfprune.PolynomialDecay(0.0, 0.75, begin_step=0, end_step=12, frequency=4)
    pruned = tfprune.prune(small(), schedule, scorer=scorer, distribution="uniform")
    fit(pruned, data, epochs=2, callbacks=[tfprune.UpdatePruningStep(data=data, examples=32)])
    assert sparsity(pruned, "hidden") == 0.75


def test_masked_weights_stay_out_under_gradient_scores(data):
    schedule = tfprune.PolynomialDecay(0.3, 0.8, begin_step=0, end_step=14, frequency=2)
    pruned = tfprune.prune(small(), schedule, scorer="fisher")
    seen = []

    class Masks(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(np.array(pruned.get_layer("hidden").pruned[0].mask))

    fit(pruned, data, epochs=2, callbacks=[Masks(), tfprune.UpdatePruningStep(data=data)])
    assert len({int(mask.sum()) for mask in seen}) > 3
    assert all((later <= earlier).all() for earlier, later in zip(seen, seen[1:]))


def test_a_scorer_that_needs_gradients_asks_for_data_before_training(data):
    pruned = tfprune.prune(small(), tfprune.ConstantSparsity(0.5), scorer="taylor")
    before = [np.array(v) for v in pruned.variables]
    with pytest.raises(ValueError, match=r"`data` must be given.*\(Taylor\)"):
        fit(pruned, data)
    assert all(np.array_equal(a, np.array(v)) for a, v in zip(before, pruned.variables))


def test_frozen_layers_are_named_and_stay_dense(data):
    model = small()
    model.get_layer("hidden").trainable = False
    with pytest.warns(UserWarning, match="'small/hidden/kernel' .asked 0.75, has 0.*Unfreeze"):
        pruned, _ = tfprune.one_shot(model, 0.75, "magnitude", data, "mse")
    assert (sparsity(pruned, "hidden"), sparsity(pruned, "out")) == (0.0, 0.75)
    model.trainable = False
    with pytest.raises(ValueError, match="only frozen ones"):
        tfprune.one_shot(model, 0.75, "magnitude", data, "mse")


def nan_loss(y, outputs):
    return keras.ops.sqrt(-1.0 - keras.ops.square(outputs))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"stages": 0}, "`stages` must be >= 1. Received: stages=0"),
        ({"stages": (0.3, 0.2, 0.5)}, r"sparsities that rise to 0.5. Received: stages=.0.3, 0.2"),
        ({"stages": (0.3, 0.4)}, "sparsities that rise to 0.5"),
        ({"stages": ()}, "sparsities that rise to 0.5"),
        ({"sparsity": 1.0}, r"`sparsity` must be in \[0, 1\)"),
        ({"data": None}, "`data` must"),
        ({"examples": 1}, "`examples` must be >= 2"),
        ({"spacing": "cubic"}, "`spacing` must be one of"),
        ({"loss": None}, "is not compiled"),
        ({"loss": nan_loss}, "the loss is nan"),
        ({"data": (np.ones((8, 5)), np.ones((8, 3)))}, r"shapes \[\(5,\), \(3,\)\]"),
        ({"data": (np.ones((8, 6)), np.ones((8, 7)))}, r"shapes \[\(6,\), \(7,\)\]"),
        ({"rules": [("out/.*", tfprune.OneShot(0.5))]}, "must be .regex, sparsity."),
        ({"scorer": "taylr"}, "`scorer` must be one of"),
        ({"scorer": scorers.Taylor(on="gates")}, "needs a batch norm.*'small/out/kernel' without"),
    ],
)
def test_bad_input_is_one_error_before_anything_changes(options, message, data):
    model = small()
    before = [np.array(v) for v in model.variables]
    arguments = {"sparsity": 0.5, "scorer": "fisher", "data": data, "loss": "mse"} | options
    with pytest.raises((TypeError, ValueError), match=message):
        tfprune.one_shot(model, **arguments)
    assert all(np.array_equal(a, np.array(v)) for a, v in zip(before, model.variables))


def test_stages_are_saved_with_the_model(data, tmp_path):
    pruned, report = tfprune.one_shot(
        small(), 0.5, "woodfisher", data, "mse", stages=[0.4, 0.5], rules=[("out/.*", 0.25)]
    )
    assert [stage.sparsity for stage in report.stages] == [0.4, 0.5]
    assert sparsity(pruned, "out") == 0.25
    pruned.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("hidden").schedule == Stages(0.5, (0.4, 0.5))
    assert loaded.get_layer("out").schedule == Stages(0.25, (0.2, 0.25))
    fit(loaded, data)  # no update is due, so that the scorer needs no data
    assert sparsity(loaded, "hidden") == 0.5


@pytest.mark.parametrize("kind", [list, tuple])
def test_several_inputs_reach_scores_and_batch_normalization(kind):
    inputs = [keras.Input((3,)) for _ in range(2)]
    x = keras.layers.Dense(4)(keras.layers.Concatenate()(inputs))
    outputs = keras.layers.Dense(1)(keras.layers.BatchNormalization()(x))
    model = keras.Model(inputs, outputs)
    arrays = kind(np.random.default_rng(n).normal(size=(16, 3)).astype("float32") for n in range(2))
    _, told = tfprune.one_shot(model, 0.5, "fisher", (arrays, np.ones((16, 1))), "mse")
    assert told.batch_norm_examples == 16


class Scaled(keras.layers.Layer, tfprune.PrunableLayer):
    """A layer of a class that nobody has told tfprune about, with the kernel of a Dense layer."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")

    def call(self, inputs):
        return inputs @ self.kernel

    def get_prunable_weights(self):
        return [self.kernel] if self.built else []

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_without_a_scorer_the_best_that_fits_is_taken_and_named(mlp, data):
    def scorer_of(model, *arguments, **options):
        return tfprune.one_shot(model, 0.5, None, *arguments, verbose=False, **options)

    pruned, report = scorer_of(mlp)
    assert (report.scorer, pruned.layers[0].distribution) == ("Magnitude", "uniform")
    pruned, report = scorer_of(mlp, data[0])
    assert (report.scorer, pruned.layers[0].distribution) == ("Reconstruction", "global")
    pruned, _ = scorer_of(mlp, data[0], distribution="uniform")
    assert pruned.layers[0].distribution == "uniform"
    unknown = keras.Sequential([keras.Input((6,)), Scaled(5), keras.layers.Dense(3)])
    assert scorer_of(unknown, data, loss="mse")[1].scorer == "Taylor"
    assert scorer_of(unknown, data[0])[1].scorer == "Magnitude"


def test_the_best_scorer_looks_at_every_weight_of_a_path(data):
    inner, inputs = keras.Input((5,)), keras.Input((6,))
    back = keras.Model(inner, keras.layers.Dense(3, name="a")(inner))  # could be reconstructed
    model = keras.Model(inputs, back(Scaled(5, name="a")(inputs)))
    assert tfprune.one_shot(model, 0.5, data=data, loss="mse")[1].scorer == "Taylor"
