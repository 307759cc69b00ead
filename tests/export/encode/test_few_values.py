"""Weights of few values: as few in int8, in a smaller file that predicts what Keras does."""

import keras
import numpy as np
import pytest

import tfprune
from tfprune.export.encode.narrowing import int8_weights


def test_few_values_stay_apart_at_one_scale_and_many_have_a_scale_a_channel():
    few = np.array([[0.5, -1.0, 0.0], [0.25, 0.5, 0.0]], np.float32)
    rounded, scales = int8_weights(few, 0)
    assert scales.tolist() == [np.float32(1 / 127)]
    assert rounded.tolist() == [[64, -127, 0], [32, 64, 0]]
    assert int8_weights(np.linspace(-1, 1, 70, dtype="float32").reshape(7, 10), 0)[1].size == 7


def test_values_that_one_scale_would_merge_or_round_too_coarsely_have_scales_of_channels():
    merged = np.array([[1.0, 0.0011], [1.0, 0.0012]], np.float32)
    assert int8_weights(merged, 0)[1].size == 2
    coarse = np.array([[1.0, 0.5], [0.01, 0.004]], np.float32)
    assert int8_weights(coarse, 0)[1].size == 2


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_a_clustered_model_has_its_levels_in_a_smaller_file_of_int8_weights(kind, tmp_path):
    layers = keras.layers
    first = layers.Dense(64) if kind == "dense" else layers.Conv2D(64, 3)
    shape = (32,) if kind == "dense" else (8, 8, 8)
    model = keras.Sequential([keras.Input(shape), first, layers.Flatten(), layers.Dense(3)])
    clustered = tfprune.strip_pruning(tfprune.cluster(model, 8))
    files = {}
    for name, each in (("plain", model), ("clustered", clustered)):
        path = tmp_path / f"{name}.tflite"
        files[name] = tfprune.export.to_tflite(each, path, target="size", quantize="int8_weights")
    assert files["clustered"].bytes < files["plain"].bytes - 11 * 64
    assert 1.6 * files["clustered"].gzip_bytes < files["plain"].gzip_bytes
