"""Batch normalizations are folded where that changes nothing, and only there."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune


def _with_statistics(model):
    """Give batch normalizations other than fresh values."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "batch_normalization" in weight.path:
            weight.assign(rng.uniform(0.5, 2.0, weight.shape))
    return model


def _norms(model):
    return [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


FOLDED = {
    "conv": ((8, 8, 3), lambda: layers.Conv2D(4, 3, use_bias=False)),
    "grouped": ((8, 8, 4), lambda: layers.Conv2D(4, 3, groups=2)),
    "depthwise": ((8, 8, 3), lambda: layers.DepthwiseConv2D(3, depth_multiplier=2)),
    "separable": ((8, 8, 3), lambda: layers.SeparableConv2D(4, 3, use_bias=False)),
    "transposed": ((8, 8, 3), lambda: layers.Conv2DTranspose(4, 3, strides=2)),
    "conv1d": ((8, 3), lambda: layers.Conv1D(4, 3, padding="same")),
    "dense": ((6,), lambda: layers.Dense(4, use_bias=False)),
}


@pytest.mark.parametrize("case", FOLDED)
def test_the_folded_model_predicts_the_same_without_the_normalization(case):
    shape, make = FOLDED[case]
    model = keras.Sequential([keras.Input(shape), make(), layers.BatchNormalization()])
    _with_statistics(model)
    folded = tfprune.fold_batch_norm(model)
    assert not _norms(folded) and folded.layers[0].name == model.layers[0].name
    x = np.random.default_rng(1).normal(size=(3, *shape)).astype("float32")
    np.testing.assert_allclose(folded(x), model(x), rtol=1e-4, atol=1e-5)


def test_zeros_of_a_kernel_stay_zeros():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.BatchNormalization()])
    _with_statistics(model)
    kernel = model.layers[0].kernel.numpy()
    kernel[::2] = 0
    model.layers[0].kernel.assign(kernel)
    folded = tfprune.fold_batch_norm(model).layers[0].kernel.numpy()
    np.testing.assert_array_equal(folded == 0, kernel == 0)


def test_normalizations_that_no_layer_can_do_stay():
    inputs = keras.Input((8, 8, 3))
    active = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(inputs))
    read_twice = layers.Conv2D(4, 3)(inputs)
    twice = layers.Add()([layers.BatchNormalization()(read_twice), read_twice])
    other_axis = layers.BatchNormalization(axis=1)(layers.Conv2D(4, 3)(inputs))
    alone = layers.BatchNormalization()(inputs)
    model = _with_statistics(keras.Model(inputs, [active, twice, other_axis, alone]))
    folded = tfprune.fold_batch_norm(model)
    assert len(_norms(folded)) == 4
    x = np.random.default_rng(1).normal(size=(3, 8, 8, 3)).astype("float32")
    for got, wanted in zip(folded(x), model(x)):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_a_pruned_model_is_to_be_stripped_first():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.BatchNormalization()])
    with pytest.raises(ValueError, match="strip_pruning"):
        tfprune.fold_batch_norm(tfprune.prune(model, 0.5))
