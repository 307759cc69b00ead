"""Structured matrices: the nearest of their kind, the same outputs as written out, plain layers."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tfprune.compression.structured_matrices.adaptive_fastfood import fastfood
from tfprune.compression.structured_matrices.circulant_blocks import circulant
from tfprune.compression.structured_matrices.diagonal_blocks import block_diagonal
from tfprune.compression.structured_matrices.monarch_matrix import monarch

KINDS = {
    "monarch": monarch,
    "block_diagonal": block_diagonal,
    "circulant": circulant,
    "fastfood": fastfood,
}
BIAS = keras.initializers.RandomNormal(seed=1)


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape)


def _model(activation="relu", bias=True):
    hidden = layers.Dense(
        24, activation, use_bias=bias, bias_initializer=BIAS if bias else None, name="hidden"
    )
    return keras.Sequential([keras.Input((36,)), hidden, layers.Dense(2, name="out")])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_layers_compute_with_the_matrix_as_written_out(kind, bias, tmp_path):
    model = _model(bias=bias)
    small, told = tfprune.restructure(model, kind, blocks=6, rules=[("out", None)])
    written = KINDS[kind](model.get_layer("hidden").kernel.numpy().astype(float), 6)
    dense = keras.models.clone_model(model)
    dense.set_weights(model.get_weights())
    dense.get_layer("hidden").kernel.assign(written.matrix)
    x = _random(5, 36).astype("float32")
    np.testing.assert_allclose(small(x), dense(x), rtol=1e-4, atol=1e-5)
    assert told.layers[0].after == written.parameters < 36 * 24
    assert told.layers[1].remark == "left by a rule"
    small.save(tmp_path / "small.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "small.keras")(x), small(x))
    assert all(type(part).__module__.startswith("keras.") for part in small.layers)


def test_a_monarch_matrix_has_the_best_matrix_of_rank_one_in_every_block():
    kernel = _random(12, 10)
    found = monarch(kernel, 4).matrix.reshape(4, 3, 2, 5)
    for a, block in enumerate(kernel.reshape(4, 3, 2, 5)):
        for j in range(2):
            left, size, right = np.linalg.svd(block[:, j])
            best = size[0] * np.outer(left[:, 0], right[0])
            np.testing.assert_allclose(found[a, :, j], best, atol=1e-12)


@pytest.mark.parametrize("kind", ["monarch", "block_diagonal", "circulant"])
def test_a_matrix_of_the_kind_is_its_own_nearest(kind):
    once = KINDS[kind](_random(12, 8), 4)
    again = KINDS[kind](once.matrix, 4)
    np.testing.assert_allclose(again.matrix, once.matrix, atol=1e-12)


def test_a_circulant_block_has_the_means_of_the_wrapped_diagonals():
    kernel = _random(6, 3)
    found = circulant(kernel, 2).matrix
    for block, mean in zip(kernel.reshape(2, 3, 3), found.reshape(2, 3, 3)):
        for shift in range(3):
            wanted = np.mean([block[a, (a + shift) % 3] for a in range(3)])
            assert mean[1, (1 + shift) % 3] == pytest.approx(wanted)


def test_fastfood_finds_a_matrix_of_its_kind_nearly_and_is_better_than_none_of_any():
    kernel = _random(8, 8)
    once = fastfood(kernel)
    assert np.linalg.norm(once.matrix - kernel) < np.linalg.norm(kernel)
    again = fastfood(once.matrix)
    assert np.linalg.norm(again.matrix - once.matrix) < 0.7 * np.linalg.norm(once.matrix)


def test_sequences_keep_their_length_and_the_model_trains():
    model = keras.Sequential(
        [keras.Input((None, 16)), layers.Dense(32, "tanh", name="a"), layers.Dense(16, name="b")]
    )
    model.compile("adam", "mse")
    small, _ = tfprune.restructure(model, "monarch", blocks=4)
    x = _random(8, 5, 16).astype("float32")
    first = small.evaluate(x, x, verbose=0)
    small.fit(x, x, epochs=3, verbose=0)
    assert small.output_shape == (None, None, 16) and small.evaluate(x, x, verbose=0) < first
    with pytest.raises(ValueError, match="'a': its inputs are no single vectors"):
        tfprune.restructure(model, "circulant", blocks=4)


def test_what_cannot_be_smaller_or_is_no_dense_layer_stays_with_a_reason():
    inputs = keras.Input((8, 8, 2))
    x = layers.Flatten()(layers.Conv2D(4, 3, name="conv")(inputs))
    model = keras.Model(inputs, layers.Dense(12, name="dense")(x))
    small, told = tfprune.restructure(model, blocks=6)
    assert told.layers[0].remark == "only kernels of Dense layers are replaced"
    assert "1 of 2 layers replaced" in repr(told) and "dense" in str(told)
    assert small.count_params() < model.count_params()
    with pytest.raises(ValueError, match="no fewer than 1,728"):
        tfprune.restructure(model, blocks=1000)
    with pytest.raises(ValueError, match="`kind` must be one of"):
        tfprune.restructure(model, "hankel")


def test_files_of_structured_models_predict_what_keras_does(tmp_path):
    for kind in KINDS:
        small, _ = tfprune.restructure(_model(), kind, blocks=6, rules=[("out", None)])
        told = tfprune.export.to_tflite(small, tmp_path / f"{kind}.tflite")
        assert told.largest_difference < 1e-3
