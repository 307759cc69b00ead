"""tfprune.compat.tfmot on its own: names, options and their errors, layers and lists."""

import os
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

import tfprune
from tests.support.compat.cases import fit, small_model, sparsities, wrapped_names
from tfprune.compat import tfmot


def test_names_are_found_on_all_paths_of_the_other_package():
    from tfprune.compat.tfmot import sparsity
    from tfprune.compat.tfmot.sparsity import keras as names
    from tfprune.compat.tfmot.sparsity.keras import PolynomialDecay

    assert tfmot.sparsity is sparsity
    assert tfmot.sparsity.keras is names
    assert PolynomialDecay is tfmot.PolynomialDecay is tfprune.compat.tfmot.PolynomialDecay
    for name in names.__all__:
        assert getattr(tfmot, name) is getattr(names, name)


def test_importing_compat_with_jax_does_not_import_tensorflow():
    code = "import sys; from tfprune.compat import tfmot; print('tensorflow' in sys.modules)"
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == "False"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"block_size": 4}, "`block_size` must be a pair of integers. Received: block_size=4"),
        ({"block_size": (4, 0)}, "`block_size` must be >= 1"),
        ({"block_size": (4.0, 1)}, "`block_size` must be an integer"),
        ({"block_size": (1, 2, 3)}, "`block_size` must be a pair"),
        ({"block_size": "44"}, "`block_size` must be a pair"),
        ({"block_pooling_type": "avg"}, "`block_pooling_type` must be one of 'AVG', 'MAX'"),
        ({"sparsity_m_by_n": (4, 2)}, "`sparsity_m_by_n` must be .* m < n"),
        ({"sparsity_m_by_n": (2, 2)}, "`sparsity_m_by_n` must be .* m < n"),
        ({"sparsity_m_by_n": 2}, "`sparsity_m_by_n` must be a pair"),
        ({"sparsity_m_by_n": (0, 4)}, "`sparsity_m_by_n` must be >= 1"),
        ({"sparsity_m_by_n": (2, 4), "block_size": (2, 2)}, "`block_size` must be \\(1, 1\\)"),
        ({"pruning_schedule": 0.5}, "`pruning_schedule` must be a schedule"),
        ({"pruning_policy": "dense"}, "`pruning_policy` must be a PruningPolicy"),
        ({"block_sise": (4, 4)}, "no argument 'block_sise'"),
        ({"input_shape": (3,)}, "no argument 'input_shape'"),
    ],
)
def test_wrong_option_is_one_clear_error_before_anything_changes(wrong, message):
    model = small_model()
    before = model.get_weights()
    with pytest.raises((TypeError, ValueError), match=message):
        tfmot.prune_low_magnitude(model, **wrong)
    assert wrapped_names(model.layers) == []
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("wrong", [7, "dense", keras.layers.Dense, [keras.layers.Dense(2), 3]])
def test_only_models_layers_and_lists_of_layers_can_be_pruned(wrong):
    with pytest.raises(TypeError, match="`to_prune` must be"):
        tfmot.prune_low_magnitude(wrong)


def test_misspelled_keyword_of_a_layer_is_named():
    with pytest.raises(TypeError, match="no argument 'shape' .*input_shape"):
        tfmot.prune_low_magnitude(keras.layers.Dense(2), shape=(3,))


@pytest.mark.filterwarnings("ignore:The last groups of a pattern are shorter")
def test_default_schedule_with_m_by_n_gives_the_complete_pattern_at_step_0():
    for zeros in (1, 2, 3):
        model = tfmot.prune_low_magnitude(small_model(), sparsity_m_by_n=(zeros, 4))
        model.compile("sgd", "mse")
        updater = tfprune.PruningUpdater(model)
        assert updater.begin()
        assert updater.step == 0
        dense = tfmot.strip_pruning(model).get_layer("dense").kernel.numpy()
        assert (np.count_nonzero(dense.reshape(-1, 4, 8), axis=1) == 4 - zeros).all()


@pytest.mark.filterwarnings("ignore:The last groups of a pattern are shorter")
def test_m_by_n_ends_at_the_complete_pattern_whatever_the_final_sparsity():
    for final in (0.1, 0.9):
        schedule = tfmot.PolynomialDecay(0.0, final, 0, 4, frequency=2)
        model = fit(tfmot.prune_low_magnitude(small_model(), schedule, sparsity_m_by_n=(2, 4)))
        assert sparsities(model)[1:] == [0.5, 0.5]


def test_block_size_lays_blocks_over_weights_of_any_rank():
    schedule = tfmot.ConstantSparsity(0.5, 0, frequency=1)
    model = tfmot.prune_low_magnitude(small_model(), schedule, (1, 2), "MAX")
    kernel = tfmot.strip_pruning(fit(model)).get_layer("conv").kernel.numpy()
    pairs = (kernel != 0).reshape(2, 3, 2, 2)
    assert (pairs.all(-1) | ~pairs.any(-1)).all()


def test_layers_of_a_list_are_wrapped_and_the_rest_is_passed_through():
    given = [
        keras.layers.InputLayer(shape=(4, 4)),
        keras.layers.LSTM(3, name="lstm"),
        keras.layers.BatchNormalization(),
        tfmot.prune_low_magnitude(keras.layers.Dense(3, name="before")),
        keras.layers.Dense(2, name="after"),
    ]
    got = tfmot.prune_low_magnitude(given)
    assert wrapped_names(got) == ["lstm", "before", "after"]
    assert [got[0], got[2], got[3]] == [given[0], given[2], given[3]]
    assert got[1].layer is given[1]
    assert len(sparsities(fit(keras.Sequential(got)))) == 4


def test_layer_with_nothing_to_prune_comes_back_unwrapped():
    for layer in (keras.layers.Flatten(), keras.layers.BatchNormalization(), keras.layers.Add()):
        assert tfmot.prune_low_magnitude(layer) is layer


def test_attention_is_wrapped_before_it_is_built():
    layer = tfmot.prune_low_magnitude(keras.layers.MultiHeadAttention(2, 2))
    layer(keras.ops.ones((1, 3, 4)), keras.ops.ones((1, 3, 4)))
    assert len(layer.pruned) == 4


def test_wrapping_a_layer_twice_is_an_error():
    layer = tfmot.prune_low_magnitude(keras.layers.Dense(2))
    with pytest.raises(ValueError, match="wrapped for pruning already"):
        tfmot.prune_low_magnitude(layer)


def test_first_layer_takes_the_input_shape_from_either_place():
    outside = tfmot.prune_low_magnitude(keras.layers.Dense(2), input_shape=(3,), name="first")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras prefers keras.Input
        inside = tfmot.prune_low_magnitude(keras.layers.Dense(2, input_shape=(3,)))
    for layer in (outside, inside):
        model = keras.Sequential([layer, keras.layers.Dense(1)])
        assert model.input_shape == (None, 3)
        assert model.layers == [layer, model.layers[1]]
    assert outside.name == "first"


def test_trainable_is_passed_to_the_layer():
    layer = keras.layers.Dense(2)
    assert not tfmot.prune_low_magnitude(layer, trainable=False).trainable
    assert not layer.trainable


def test_clone_model_with_prune_low_magnitude_as_clone_function_wraps_what_can_be():
    base = small_model()
    for clone_function in (
        tfmot.prune_low_magnitude,
        lambda layer: tfmot.prune_low_magnitude(layer) if layer.weights else layer,
    ):
        model = keras.models.clone_model(base, clone_function=clone_function)
        assert wrapped_names(model.layers) == ["conv", "dense", "head"]
        assert sparsities(fit(model)) == [0.5] * 3


def test_layer_that_names_its_prunable_weights_is_pruned_as_it_says():
    class Biased(keras.layers.Dense, tfmot.PrunableLayer):
        def get_prunable_weights(self):
            return [self.kernel, self.bias]

    layer = tfmot.prune_low_magnitude(Biased(4))
    model = fit(keras.Sequential([keras.Input((6,)), layer]))
    assert [own.weight.name for own in layer.pruned] == ["kernel", "bias"]
    kernel, bias = layer.pruned
    assert (kernel.mask.numpy().sum(), bias.mask.numpy().sum()) == (12, 2)
    assert len(model.layers) == 1


def test_subclassed_model_is_pruned():
    @keras.saving.register_keras_serializable("test_compat")
    class Twice(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.first = keras.layers.Dense(4)

        def build(self, input_shape):
            self.first.build(input_shape)
            self.built = True

        def call(self, inputs):
            return self.first(inputs) * 2

        def get_config(self):
            return {}

    model = Twice()
    model.build((None, 6))
    pruned = tfmot.prune_low_magnitude(model)
    assert isinstance(pruned.first, tfprune.PrunedLayer)


def test_pruning_summaries_writes_the_sparsity(tmp_path):
    model = tfmot.prune_low_magnitude(small_model())
    model.compile("sgd", "mse")
    x, y = np.ones((4, 8, 3), np.float32), np.zeros((4, 2), np.float32)
    summaries = tfmot.PruningSummaries(log_dir=str(tmp_path), update_freq="epoch")
    callbacks = [tfmot.UpdatePruningStep(), summaries]
    model.fit(x, y, batch_size=1, epochs=1, verbose=0, callbacks=callbacks)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("events*"))
    assert b"dense/kernel/sparsity" in written
    assert b"dense/kernel/threshold" in written
