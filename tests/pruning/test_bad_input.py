"""One clear error before anything changes."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tests.support.helpers import fit

HALF = tfprune.OneShot(0.5)


def refuses(error, message):
    return pytest.raises(error, match=message)


def test_an_unbuilt_model_is_refused():
    with refuses(ValueError, "'bare' must be built"):
        tfprune.prune(keras.Sequential([layers.Dense(3)], name="bare"), HALF)


def test_a_model_with_nothing_to_prune_is_refused_with_reasons():
    model = keras.Sequential([keras.Input((6,)), layers.ReLU(), layers.BatchNormalization()])
    with refuses(ValueError, "nothing to prune.*BatchNormalization.*ReLU"):
        tfprune.prune(model, HALF)


def test_what_is_no_model_is_refused(mlp):
    with refuses(TypeError, "must be a keras.Model.*PrunedLayer for one layer"):
        tfprune.prune(layers.Dense(3), HALF)
    with refuses(TypeError, "model='mlp'"):
        tfprune.prune("mlp", HALF)
    with refuses(TypeError, "model=None"):
        tfprune.strip_pruning(None)


def test_a_schedule_given_as_a_number_is_refused(mlp):
    with refuses(TypeError, "schedule='0.5'"):
        tfprune.prune(mlp, "0.5")
    with refuses(TypeError, "schedule=True"):
        tfprune.PrunedLayer(layers.Dense(3), True)


def test_misspelled_keywords_are_refused(mlp):
    with refuses(TypeError, "strcture"):
        tfprune.prune(mlp, HALF, strcture=tfprune.Unstructured())
    with refuses(TypeError, "scorr"):
        tfprune.PrunedLayer(layers.Dense(3), HALF, scorr="magnitude")


def test_unknown_options_are_refused_and_the_known_ones_listed(mlp):
    with refuses(ValueError, "'magnitude'.*scorer='magnitud'"):
        tfprune.prune(mlp, HALF, scorer="magnitud")
    with refuses(ValueError, "'uniform'.*distribution='even'"):
        tfprune.prune(mlp, HALF, distribution="even")
    with refuses(TypeError, r"structure=\(4, 4\)"):
        tfprune.prune(mlp, HALF, structure=(4, 4))


@pytest.mark.parametrize(
    "rules, error, message",
    [
        ({"hidden": 0.5}, TypeError, "list of"),
        ([("hidden/.*",)], TypeError, "pair"),
        ([("hidden/(", 0.5)], ValueError, "valid regex"),
        ([("hidden/.*", 1.0)], ValueError, "1.0"),
        ([("hidden/.*", "half")], TypeError, "'half'"),
    ],
    ids=str,
)
def test_bad_rules_are_refused(mlp, rules, error, message):
    with refuses(error, message):
        tfprune.prune(mlp, HALF, rules=rules)


def test_a_ruled_number_needs_a_schedule_with_an_end(mlp):
    with refuses(ValueError, "schedule with a final sparsity"):
        tfprune.prune(mlp, lambda step: 0.5, rules=[("hidden/.*", 0.4)])


def test_more_than_an_n_of_m_pattern_can_remove_is_refused(mlp):
    with refuses(ValueError, "1 - kept/m = 0.5"):
        tfprune.prune(mlp, tfprune.OneShot(0.9), structure=tfprune.NofM(2, 4))


def test_wrapping_twice_is_refused(mlp):
    pruned = tfprune.prune(mlp, HALF)
    with refuses(ValueError, "pruned already"):
        tfprune.prune(pruned, HALF)
    with refuses(ValueError, "wrapped for pruning already"):
        tfprune.PrunedLayer(tfprune.PrunedLayer(layers.Dense(3), HALF), HALF)


def test_stripping_a_plain_model_is_refused(mlp):
    with refuses(ValueError, "'mlp' has no pruned layers"):
        tfprune.strip_pruning(mlp)


def test_training_without_the_callback_is_refused_before_any_weight_changes(mlp, data):
    for options in ({}, {"run_eagerly": True}):
        pruned = tfprune.prune(mlp, HALF)
        before = [v.numpy() for v in pruned.trainable_variables]
        with refuses(ValueError, r"callbacks=\[tfprune.UpdatePruningStep\(\)\]"):
            fit(pruned, data, callbacks=[], **options)
        assert all(np.array_equal(a, v.numpy()) for a, v in zip(before, pruned.trainable_variables))


def test_finished_masks_can_be_fine_tuned_without_the_callback(mlp, data):
    pruned = fit(tfprune.prune(mlp, HALF), data)
    before = pruned.layers[0].pruned[0].mask.numpy()
    fit(pruned, data, callbacks=[], optimizer=None)
    assert np.array_equal(before, pruned.layers[0].pruned[0].mask.numpy())


def test_a_pruned_model_may_be_used_in_the_training_of_another(mlp, data):
    teacher = tfprune.prune(mlp, HALF)

    class Student(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, inputs):
            return self.dense(inputs)

        def train_step(self, batch):
            x, _ = batch
            return super().train_step((x, teacher(x, training=False)))

    fit(Student(), data, callbacks=[])


def test_masks_are_set_all_or_none(mlp, data):
    """One schedule a layer makes two groups; the second one's weights turn NaN."""
    rules = [("out/.*", tfprune.OneShot(0.5, step=1))]
    pruned = tfprune.prune(mlp, tfprune.OneShot(0.6, step=1), rules=rules)
    out = pruned.layers[1].layer.kernel
    optimizer = keras.optimizers.SGD()
    updater = tfprune.PruningUpdater(pruned, optimizer)
    out.assign(np.full(out.shape, np.nan, "float32"))
    optimizer.iterations.assign(1)
    with refuses(ValueError, "NaN of 60 in '.*out/kernel'"):
        updater.update()
    assert all(layer.pruned[0].mask.numpy().all() for layer in pruned.layers)


def test_the_callback_on_an_unwrapped_model_is_refused(mlp, data):
    before = [v.numpy() for v in mlp.variables]
    with refuses(ValueError, "'mlp' has no pruned layers"):
        fit(mlp, data)
    assert all(np.array_equal(a, v.numpy()) for a, v in zip(before, mlp.variables))


def test_a_fit_too_short_for_any_update_warns_with_the_numbers(mlp, data):
    late = tfprune.ConstantSparsity(0.5, begin_step=50)
    with pytest.warns(UserWarning, match="step 0 to 16, and the next update is due at step 50"):
        fit(tfprune.prune(mlp, late), data, epochs=2)


def test_nan_weights_are_named(mlp):
    kernel = mlp.layers[0].kernel.numpy()
    kernel[2, 3] = np.nan
    mlp.layers[0].kernel.assign(kernel)
    with refuses(ValueError, r"1 NaN of 120 in '.*hidden/kernel', shape \(6, 20\)"):
        tfprune.prune(mlp, HALF)


def test_weights_that_turn_nan_in_training_are_named_and_no_mask_changes(mlp, data):
    pruned = tfprune.prune(mlp, tfprune.ConstantSparsity(0.5, begin_step=2, frequency=1))
    kernel = pruned.layers[1].layer.kernel
    kernel.assign(np.full(kernel.shape, np.nan, "float32"))
    with refuses(ValueError, "NaN of (60|120) in '.*(out|hidden)/kernel'"):
        fit(pruned, data)
    assert all(layer.pruned[0].mask.numpy().all() for layer in pruned.layers)


def test_a_layer_with_nothing_to_prune_is_refused_when_wrapped_alone():
    layer = tfprune.PrunedLayer(layers.LayerNormalization(name="norm"), HALF)
    with refuses(ValueError, "'norm' has nothing to prune: LayerNormalization"):
        layer(np.ones((2, 3), "float32"))
    with refuses(TypeError, "layer='dense'"):
        tfprune.PrunedLayer("dense", HALF)


def test_one_schedule_for_each_weight_must_be_given():
    layer = tfprune.PrunedLayer(layers.LSTM(3, name="lstm"), [HALF])
    with refuses(ValueError, "each of the 2 prunable weights of 'lstm'.*1 entries"):
        layer(np.ones((2, 3, 4), "float32"))


class NoConfig(keras.Model):
    def __init__(self, layer, secret):
        super().__init__()
        self.layer, self.secret = layer, secret

    def call(self, inputs):
        return self.layer(inputs)


class LateBuilder(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.found = None

    def call(self, inputs):
        if self.found is None:
            self.found = layers.Dense(3)
        return self.found(inputs)


def test_a_model_that_cannot_be_copied_says_what_to_add(data):
    model = NoConfig(layers.Dense(3), secret=object())
    model(data[0])
    with refuses(ValueError, "get_config.*Received: .*class NoConfig, which cannot be copied"):
        tfprune.prune(model, HALF)


def test_a_truncated_or_foreign_keras_file_is_one_clear_error(mlp, tmp_path):
    path = tmp_path / "model.keras"
    mlp.save(path)
    path.write_bytes(path.read_bytes()[:500])
    (tmp_path / "foreign.keras").write_text("not a model")
    for name in ("model.keras", "foreign.keras"):
        with pytest.raises(ValueError):
            keras.saving.load_model(tmp_path / name)
