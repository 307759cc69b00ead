"""Binary and ternary weights: the papers' values and gradients, zeros, ends, training, files."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfprune
from tfprune.compression.few_values.binary import scaled_signs, signs
from tfprune.compression.few_values.ternary_networks import ternary
from tfprune.compression.few_values.trained_ternary import TrainedTernary

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
W = [2.0, 0.5, -0.25, -1.0, 0.0]
METHODS = {
    "bwn": lambda model, **options: tfprune.binarize(model, **options),
    "binary_connect": lambda model, **options: tfprune.binarize(model, scale="one", **options),
    "twn": lambda model, **options: tfprune.ternarize(model, **options),
    "ttq": lambda model, **options: tfprune.ternarize(model, scale="trained", **options),
}
VALUES = {"bwn": 2, "binary_connect": 2, "twn": 3, "ttq": 3}


def _gradients(function, *values):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(values)
        result = ops.sum(function(values[0]) * ops.arange(1.0, 6.0))
    return [found.numpy().ravel().tolist() for found in tape.gradient(result, values)]


def _values(tensor):
    return ops.convert_to_numpy(tensor).tolist()


def test_the_values_are_those_of_the_papers():
    value = ops.array(W)
    assert _values(signs(value, ())) == [1, 1, -1, -1, 0]
    assert _values(scaled_signs(value, ())) == [0.9375, 0.9375, -0.9375, -0.9375, 0]
    assert _values(ternary(value, ())) == [1.5, 0, 0, -1.5, 0]  # t = 0.7 * 0.9375 = 0.65625


def test_gradients_pass_straight_through_and_for_binary_connect_within_one():
    value = ops.array(W)
    assert _gradients(lambda w: scaled_signs(w, ()), value)[0] == [1, 2, 3, 4, 5]
    assert _gradients(lambda w: ternary(w, ()), value)[0] == [1, 2, 3, 4, 5]
    assert _gradients(lambda w: signs(w, ()), value)[0] == [0, 2, 3, 4, 5]


def test_trained_values_begin_at_means_and_get_the_mean_gradient_of_their_weights():
    rounding = TrainedTernary((5,), ())
    rounding.build(
        lambda name, initializer, trainable, **options: keras.Variable(
            initializer, **options, trainable=trainable
        )
    )
    rounding.begin_at(np.array(W))
    value = ops.array(W)  # t = 0.1
    assert _values(rounding(value)) == [1.25, 1.25, -0.625, -0.625, 0]
    found = _gradients(rounding, value, rounding.positive.value, rounding.negative.value)
    # Means, so that SGD makes steps of one size for values and weights.
    assert found == [[1.25, 2.5, 3 * 0.625, 4 * 0.625, 5], [(1 + 2) / 2], [-(3 + 4) / 2]]


def _model():
    parts = [
        keras.Input((8,)),
        layers.Dense(16, "relu", name="first"),
        layers.Dense(12, name="middle"),
        layers.BatchNormalization(),
        layers.Dense(3, name="last"),
    ]
    return keras.Sequential(parts)


def _fit(model, epochs=1, eagerly=False):
    random = np.random.default_rng(0)
    x = random.normal(size=(64, 8)).astype("float32")
    model.compile(keras.optimizers.Adam(0.05), LOSS, run_eagerly=eagerly)
    model.fit(x, np.arange(64) % 3, batch_size=16, epochs=epochs, verbose=0)
    return x


@pytest.mark.parametrize("method", METHODS)
def test_a_trained_model_has_these_values_in_each_channel_and_its_ends_are_free(method, tmp_path):
    model = _model()
    few = METHODS[method](model)
    x = _fit(few)
    few.save(tmp_path / "few.keras")
    again = keras.saving.load_model(tmp_path / "few.keras")
    np.testing.assert_array_equal(again(x), few(x))
    plain = tfprune.strip_pruning(again)
    np.testing.assert_allclose(plain(x), few(x), rtol=1e-5, atol=1e-6)
    kernel = plain.get_layer("middle").kernel.numpy()
    counts = {len(np.unique(kernel[:, unit])) for unit in range(12)}
    assert max(counts) == VALUES[method]
    assert len(np.unique(plain.get_layer("first").kernel)) == 128
    assert np.any(kernel != tfprune.strip_pruning(METHODS[method](model)).layers[1].kernel)


@pytest.mark.parametrize("method", METHODS)
def test_zeros_of_the_model_stay_zeros_and_one_pair_of_values_does_for_the_weight(method):
    model = _model()
    kernel = model.get_layer("middle").kernel.numpy()
    kernel[::2] = 0
    model.get_layer("middle").kernel.assign(kernel)
    first = model.get_layer("first").kernel.numpy()
    first[1::2] = 0
    model.get_layer("first").kernel.assign(first)
    few = METHODS[method](model, per="weight")
    _fit(few, eagerly=True)
    plain = tfprune.strip_pruning(few)
    found = plain.get_layer("middle").kernel.numpy()
    assert not found[::2].any() and len(np.unique(found)) == 3
    assert np.mean(plain.get_layer("first").kernel.numpy() == 0) == 0.5  # of a layer that is left


def test_rules_and_flags_say_which_weights_are_changed():
    def changed(model, **options):
        few = tfprune.binarize(model, **options)
        return [layer.name for layer in few.layers if isinstance(layer, tfprune.PrunedLayer)]

    model = _model()
    assert changed(model, keep_ends=False) == ["first", "middle", "last"]
    assert changed(model, rules=[("middle", None), ("last", True)]) == ["last"]
    with pytest.raises(ValueError, match="no weight that can be binarized.*keep_ends=True"):
        tfprune.binarize(keras.Sequential([keras.Input((3,)), layers.Dense(2)]))
    with pytest.raises(ValueError, match="True or None. Received: value of rule 'last'=3"):
        tfprune.binarize(model, rules=[("last", 3)])
    with pytest.raises(ValueError, match="rounded or shared weights already"):
        tfprune.ternarize(tfprune.binarize(model))
