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
