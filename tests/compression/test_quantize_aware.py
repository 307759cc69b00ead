"""quantize_aware: weights train as the exported file will hold them, and zeros stay."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfprune
from tests.support.helpers import fit, same_values
from tfprune.compression.output_channels import channel_axes
from tfprune.compression.quantization import ChannelQuantizer, fake_quantize
from tfprune.layer_classes.prunable import owned_weights, prunable_weights
from tfprune.wrapping.pruned_layer import pruned_layers


def as_int8(values, channels):
    """The integers and scales of an exported weight, by LiteRT's formula in NumPy."""
    kept = {axis % values.ndim for axis in channels}
    others = tuple(axis for axis in range(values.ndim) if axis not in kept)
    largest = np.abs(values).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest, 127).astype("float32") / np.float32(127)
    return np.round(values / scale).astype("int8"), scale


def assert_rounded(model):
    """Rounding a weight to int8 once more changes none of its values."""
    for part, weight in owned_weights(model):
        integers, scale = as_int8(weight.numpy(), channel_axes(part, weight))
        assert np.allclose(integers * scale, weight.numpy(), rtol=1e-6, atol=0)
        assert integers.min() >= -127


@pytest.fixture
def stripped(mlp, data):
    """A stripped model, 70 % of whose weights are zero."""
    pruned = fit(tfprune.prune(mlp, tfprune.OneShot(0.7)), data)
    return tfprune.strip_pruning(pruned)


LAYERS = {
    "Dense": ((6,), layers.Dense(4), (4,)),
    "Conv1D": ((9, 3), layers.Conv1D(4, 3), (4,)),
    "Conv2D": ((8, 8, 3), layers.Conv2D(5, 3), (5,)),
    "Conv2DTranspose": ((5, 5, 3), layers.Conv2DTranspose(6, 2), (6,)),
    "DepthwiseConv2D": ((8, 8, 3), layers.DepthwiseConv2D(3, depth_multiplier=2), (3, 2)),
    "SeparableConv2D": ((8, 8, 3), layers.SeparableConv2D(5, 3), (3, 1)),
    "LSTM": ((5, 3), layers.LSTM(4), (16,)),
    "GRU": ((5, 3), layers.GRU(4), (12,)),
    "EinsumDense": ((5, 3), layers.EinsumDense("abc,cde->abde", (None, 2, 4)), (2, 4)),
    "Embedding": ((6,), layers.Embedding(9, 4), ()),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_the_forward_pass_is_that_of_the_dequantized_int8_weights(kind):
    shape, layer, channels = LAYERS[kind]
    layer = type(layer).from_config(layer.get_config())
    inputs = keras.Input(shape, dtype="int32" if kind == "Embedding" else "float32")
    model = keras.Model(inputs, layer(inputs))
    random = np.random.default_rng(0)
    for weight in prunable_weights(model):
        kept = random.random(weight.shape) < 0.4
        weight.assign(random.normal(size=weight.shape) * kept)
    expected = keras.models.clone_model(model)
    expected.set_weights(model.get_weights())
    for index, (part, weight) in enumerate(owned_weights(expected)):
        integers, scale = as_int8(weight.numpy(), channel_axes(part, weight))
        if index == 0:
            assert tuple(size for size in scale.shape if size > 1) == tuple(
                size for size in channels if size > 1
            )
        weight.assign(integers * scale)
    x = (
        random.integers(0, 9, (4, *shape))
        if kind == "Embedding"
        else random.normal(size=(4, *shape))
    )
    outputs = tfprune.quantize_aware(model).predict(x, verbose=0)
    assert np.allclose(outputs, expected.predict(x, verbose=0), rtol=1e-5, atol=1e-6)
    assert not np.allclose(outputs, model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


def test_zeros_stay_zero_and_the_other_weights_train(stripped, data):
    aware = tfprune.quantize_aware(stripped)
    before = [weight.numpy() for weight in prunable_weights(stripped)]
    fit(aware, data, optimizer=keras.optimizers.Adam(0.01), callbacks=[], epochs=2)
    after = [weight.numpy() for weight in prunable_weights(tfprune.strip_pruning(aware))]
    for old, new in zip(before, after, strict=True):
        assert (old == 0).mean() == pytest.approx(0.7, abs=0.01)
        assert not new[old == 0].any()
        assert np.abs(new - old)[old != 0].mean() > 1e-3


def test_a_stripped_model_is_rounded_and_predicts_the_same(stripped, data):
    aware = fit(tfprune.quantize_aware(stripped), data, callbacks=[])
    plain = tfprune.strip_pruning(aware)
    assert [type(layer) for layer in plain.layers] == [layers.Dense, layers.Dense]
    assert_rounded(plain)
    assert np.allclose(
        plain.predict(data[0], verbose=0), aware.predict(data[0], verbose=0), rtol=1e-6, atol=1e-7
    )


def test_the_model_itself_stays_as_it_is(stripped):
    before = stripped.get_weights()
    aware = tfprune.quantize_aware(stripped)
    aware.layers[0].layer.kernel.assign(aware.layers[0].layer.kernel + 1.0)
    assert all(map(np.array_equal, before, stripped.get_weights()))
    assert [type(layer) for layer in stripped.layers] == [layers.Dense, layers.Dense]


def test_a_pruned_model_keeps_its_schedule_and_its_stored_weights(mlp, data):
    plan = tfprune.PolynomialDecay(0.0, 0.8, begin_step=0, end_step=12, frequency=2)
    rules = [("out/.*", None)]
    pruned = fit(tfprune.prune(mlp, plan, rules=rules, structure=tfprune.Block(2, 1)), data)
    aware = tfprune.quantize_aware(pruned)
    hidden, out = aware.layers
    assert (hidden.structure, hidden.schedule) == (tfprune.Block(2, 1), plan)
    assert [int(layer.pruning_step.numpy()) for layer in aware.layers] == [8, 8]
    stored, mask = pruned.layers[0].layer.kernel.numpy(), pruned.layers[0].pruned[0].mask.numpy()
    assert np.array_equal(hidden.layer.kernel.numpy(), stored) and stored[~mask].all()
    assert np.array_equal(hidden.pruned[0].mask.numpy(), mask) and 0.7 < 1 - mask.mean() < 0.8
    with pytest.raises(ValueError, match="UpdatePruningStep"):
        fit(tfprune.quantize_aware(pruned), data, callbacks=[])
    plain = tfprune.strip_pruning(fit(aware, data))
    assert np.mean(plain.layers[0].kernel.numpy() == 0) >= 0.8
    assert out.pruned[0].mask.numpy().all()
    assert_rounded(plain)


def test_a_finished_one_shot_model_is_fine_tuned_without_the_callback(mlp, data):
    structure = tfprune.structures_for("size")
    pruned, _ = tfprune.one_shot(mlp, 0.6, "fisher", data, "mse", structure=structure)
    aware = fit(tfprune.quantize_aware(pruned), data, callbacks=[])
    kept = [layer.pruned[0].mask.numpy() for layer in pruned.layers]
    plain = tfprune.strip_pruning(aware)
    assert all(not (layer.kernel.numpy()[~mask]).any() for layer, mask in zip(plain.layers, kept))
    refreshed = tfprune.PruningUpdater(aware)
    refreshed.update()
    assert [
        np.array_equal(layer.pruned[0].mask.numpy(), mask)
        for layer, mask in zip(aware.layers, kept)
    ] == [True, True]


def test_a_weight_of_zeros_alone_trains_freely(data):
    zeros = layers.Dense(3, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((6,)), zeros])
    aware = fit(tfprune.quantize_aware(model), data, callbacks=[])
    assert tfprune.strip_pruning(aware).layers[0].kernel.numpy().all()


def test_gradients_pass_straight_through_and_zeros_get_none():
    value = tf.Variable([[0.3, -1.0], [0.0, 0.004], [1.27, 0.26]])
    with tf.GradientTape() as tape:
        rounded = fake_quantize(value.value())
        total = tf.reduce_sum(rounded * [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert tape.gradient(total, value).numpy().tolist() == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    integers, scale = as_int8(value.numpy(), (-1,))
    assert np.array_equal(rounded.numpy(), integers * scale)
    assert rounded.numpy()[1].tolist() == [0.0, pytest.approx(1 / 127)]


@pytest.mark.parametrize("bits, levels", [(2, 3), (4, 15), (8, 255)])
def test_a_channel_has_two_to_the_bits_minus_one_levels_at_most(bits, levels):
    value = np.random.default_rng(0).normal(size=(5000, 2)).astype("float32")
    rounded = keras.ops.convert_to_numpy(fake_quantize(value, bits=bits))
    counts = [len(np.unique(rounded[:, channel])) for channel in (0, 1)]
    assert max(counts) <= levels and min(counts) > levels * 0.6


def test_half_precision_models_train_with_float32_scales(data):
    half = [layers.Dense(size, dtype="mixed_bfloat16") for size in (8, 3)]
    model = keras.Sequential([keras.Input((6,)), *half])
    aware = fit(tfprune.quantize_aware(model), data, callbacks=[])
    assert_rounded(tfprune.strip_pruning(aware))


def test_a_saved_model_goes_on_training_rounded(stripped, data, tmp_path):
    aware = fit(tfprune.quantize_aware(stripped, bits=4), data, callbacks=[], optimizer="adam")
    aware.save(tmp_path / "aware.keras")
    loaded = keras.saving.load_model(tmp_path / "aware.keras")
    assert same_values(aware, loaded)
    assert [layer.quantizer for layer in pruned_layers(loaded)] == [ChannelQuantizer(4)] * 2
    expected = aware.predict(data[0], verbose=0)
    assert np.array_equal(loaded.predict(data[0], verbose=0), expected)
    fit(loaded, data, optimizer=None)
    zeros = stripped.layers[0].kernel.numpy() == 0
    assert not tfprune.strip_pruning(loaded).layers[0].kernel.numpy()[zeros].any()


@keras.saving.register_keras_serializable("tests")
class Two(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.first, self.second = layers.Dense(8, name="first"), layers.Dense(3, name="second")

    def build(self, shape):
        self.first.build(shape)
        self.second.build((None, 8))

    def call(self, inputs):
        return self.second(keras.ops.relu(self.first(inputs)))


@pytest.mark.parametrize("prune_first", [False, True])
def test_subclassed_models_are_wrapped_saved_and_stripped(prune_first, data, tmp_path):
    model = Two()
    model.build((None, 6))
    if prune_first:
        model = fit(tfprune.prune(model, tfprune.OneShot(0.5), rules=[("first/.*", None)]), data)
    aware = fit(tfprune.quantize_aware(model), data, callbacks=[])
    aware.save(tmp_path / "aware.keras")
    loaded = keras.saving.load_model(tmp_path / "aware.keras")
    expected = aware.predict(data[0], verbose=0)
    assert np.array_equal(loaded.predict(data[0], verbose=0), expected)
    plain = tfprune.strip_pruning(loaded)
    assert type(plain) is Two
    assert np.mean(plain.second.kernel.numpy() == 0) == pytest.approx(0.5 * prune_first, abs=0.09)
    assert_rounded(plain)


def test_bad_arguments_are_refused(mlp):
    with pytest.raises(TypeError, match="`model` must be a keras.Model"):
        tfprune.quantize_aware(layers.Dense(3))
    with pytest.raises(TypeError, match="bits=8.0"):
        tfprune.quantize_aware(mlp, bits=8.0)
    for bits in (1, 9):
        with pytest.raises(ValueError, match=f"bits={bits}"):
            tfprune.quantize_aware(mlp, bits=bits)
    with pytest.raises(ValueError, match="must be built"):
        tfprune.quantize_aware(keras.Sequential([layers.Dense(3)]))
    with pytest.raises(ValueError, match="quantization-aware already"):
        tfprune.quantize_aware(tfprune.quantize_aware(mlp))
    with pytest.raises(ValueError, match="no weight that can be rounded"):
        tfprune.quantize_aware(keras.Sequential([keras.Input((3,)), layers.ReLU()]))
