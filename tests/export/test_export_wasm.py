"""Files for WebAssembly are run there before they are written, where it is installed."""

import os

import keras
import numpy as np
import pytest
from keras import layers

from tfprune.export import to_tflite
from tfprune.export.run import wasm


def model():
    return keras.Sequential([keras.Input((8,)), layers.Dense(4)])


def test_a_file_that_is_wrong_in_webassembly_only_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(wasm, "is_installed", lambda: True)
    monkeypatch.setattr(wasm, "outputs", lambda path, inputs, batch: [np.zeros((8, 4), np.float32)])
    with pytest.raises(ValueError, match="differs by .* with WebAssembly"):
        to_tflite(model(), tmp_path / "model.tflite", target="wasm")
    assert os.listdir(tmp_path) == []
    to_tflite(model(), tmp_path / "model.tflite", target="arm64")  # it is not asked


def test_without_webassembly_the_report_says_that_it_was_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(wasm, "is_installed", lambda: False)
    report = to_tflite(model(), tmp_path / "model.tflite", target="wasm")
    assert any("was not run in WebAssembly" in note for note in report.notes)


@pytest.mark.skipif(not wasm.is_installed(), reason="needs Node and LiteRT.js")
@pytest.mark.parametrize("quantize", [None, "float16", "int8_weights"])
def test_files_for_webassembly_predict_there_what_keras_does(quantize, tmp_path):
    report = to_tflite(model(), tmp_path / "model.tflite", target="wasm", quantize=quantize)
    assert not any("WebAssembly" in note for note in report.notes)


@pytest.mark.skipif(not wasm.is_installed(), reason="needs Node and LiteRT.js")
def test_images_enter_and_leave_the_sparse_mode_of_webassembly_as_they_are(tmp_path):
    """A first convolution of stride 1 over one channel, and three outputs before any mean."""
    source = x = keras.Input((32, 32, 1))
    for filters in (32, 32, 32):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    x = layers.Conv2D(30, 3, strides=2, padding="same")(layers.AveragePooling2D(2)(x))
    outputs = [x, layers.GlobalMaxPooling2D()(x), layers.Flatten()(layers.MaxPooling2D(2)(x))]
    network = keras.Model(source, outputs)
    rng = np.random.default_rng(0)
    for layer in network.layers[1:4] + [network.get_layer(index=5)]:
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel * (rng.random(kernel.shape) > 0.9) * 3, bias])
    report = to_tflite(network, tmp_path / "model.tflite", target="wasm", lower_conv3x3=True)
    assert report.coverage.sparse_convolutions > 5, report.table()
    assert report.largest_difference < 1e-5
