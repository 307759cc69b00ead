"""to_tflite of a model whose activations were rounded in training: it needs no data."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tfprune.export import to_tflite


@pytest.fixture(scope="module")
def aware():
    dense = [layers.Dense(16, "relu", name="hidden"), layers.Dense(3, name="out")]
    model = keras.Sequential([keras.Input((8,)), *dense])
    weights = model.layers[0].kernel.numpy()
    model.layers[0].kernel.assign(weights * (np.abs(weights) > 0.3))
    aware = tfprune.quantize_aware(model, activations=True)
    aware(np.random.default_rng(0).normal(size=(64, 8)).astype("float32"), training=True)
    return aware


def test_the_model_itself_is_exported_without_data(aware, tmp_path):
    report = to_tflite(aware, tmp_path / "m.tflite", quantize="int8")
    assert report.largest_difference < 0.02  # a step of 255 of the output, or two
    zeros = 1 - np.mean(aware.get_layer("hidden").pruned[0].mask.numpy())
    found = {layer.name: layer for layer in report.coverage.layers}
    assert found["hidden/kernel"].sparsity == pytest.approx(zeros, abs=0.02)


def test_weights_of_four_bits_are_exact_and_the_file_is_smaller(tmp_path):
    dense = [layers.Dense(64, "relu", name="hidden"), layers.Dense(3, name="out")]
    model = keras.Sequential([keras.Input((64,)), *dense])
    kernel = model.layers[0].kernel.numpy()
    model.layers[0].kernel.assign(kernel * (np.abs(kernel) > 0.18))
    four = tfprune.quantize_aware(model, activations=True, bits=4)
    x = np.random.default_rng(0).normal(size=(64, 64)).astype("float32")
    four(x, training=True)
    report = to_tflite(four, tmp_path / "four.tflite", quantize="int4")
    eight = to_tflite(four, tmp_path / "eight.tflite", quantize="int8")
    assert report.largest_difference < 0.02  # a step of 255 of the output, or two
    assert report.bytes < eight.bytes - 64 * 64 // 2
    assert "hidden/kernel, out/kernel" in " ".join(report.notes)
    found = {layer.name: layer.sparsity for layer in report.coverage.layers}
    told = tfprune.strip_pruning(four).get_layer("hidden").kernel.numpy()
    assert found["hidden/kernel"] == np.mean(told == 0) > 0.7


def test_ranges_that_were_never_observed_are_one_error(tmp_path):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    fresh = tfprune.quantize_aware(model, activations=True)
    with pytest.raises(ValueError, match="at least one batch.*2 of 2 ranges were never observed"):
        to_tflite(fresh, tmp_path / "m.tflite", quantize="int8")
    assert not [*tmp_path.iterdir()]


def test_other_files_and_data_beside_ranges_are_refused(aware, tmp_path):
    path = tmp_path / "m.tflite"
    with pytest.raises(ValueError, match="`quantize` must be 'int8'.*strip_pruning.*=None"):
        to_tflite(aware, path)
    data = np.ones((4, 8), "float32")
    with pytest.raises(ValueError, match="`representative_data` must be None"):
        to_tflite(aware, path, quantize="int8", representative_data=data)
