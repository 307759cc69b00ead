"""Exporting whole models: predictions, sizes, encodings and signatures."""

import dataclasses
import json
import os

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from tests.support.export.models import (
    MODELS,
    cnn,
    language_model,
    lstm,
    mixed_precision,
    mlp,
    two_in_two_out,
    zero_out,
)
from tfprune.export import inspect_tflite, tflite, to_tflite
from tfprune.export.file import flatbuffer
from tfprune.export.run import verify


@pytest.mark.parametrize("name", MODELS)
def test_a_pruned_model_becomes_a_smaller_file_with_the_same_predictions(name, tmp_path):
    model = zero_out(MODELS[name](), 0.9)
    path = tmp_path / "model.tflite"
    report = to_tflite(model, path)
    assert report.bytes == path.stat().st_size < 0.7 * report.dense_bytes
    assert report.gzip_bytes < report.dense_gzip_bytes
    assert 0 <= report.largest_difference < 1e-5
    assert all(entry.encoded_bytes < entry.dense_bytes for entry in report.encodings)
    assert os.listdir(tmp_path) == ["model.tflite"]


def test_the_exported_weights_are_the_nonzero_values_of_the_model_bit_for_bit(tmp_path):
    model = zero_out(mlp(), 0.9)
    report = to_tflite(model, tmp_path / "model.tflite")
    kernels = [layer.kernel.numpy() for layer in model.layers]
    assert sorted(entry.nonzeros for entry in report.encodings) == sorted(
        int(np.count_nonzero(kernel)) for kernel in kernels
    )
    written, _ = flatbuffer.read(tmp_path / "model.tflite")
    stored = [
        flatbuffer.constant(written, tensor)
        for tensor in written.subgraphs[0].tensors
        if tensor.sparsity is not None
    ]
    for kernel in kernels:
        nonzeros = np.sort(kernel[kernel != 0])
        assert any(np.array_equal(nonzeros, np.sort(values)) for values in stored)


def test_a_device_will_do_for_the_target_and_a_name_without_an_ending_gets_one(tmp_path):
    report = to_tflite(zero_out(mlp(), 0.9), tmp_path / "model", target="desktop")
    assert (tmp_path / "model.tflite").is_file() and not (tmp_path / "model").exists()
    assert "x86" in str(report)


def test_blocked_weights_use_the_native_1x4_kernel(tmp_path):
    report = to_tflite(zero_out(mlp(), 0.9, block=4), tmp_path / "model.tflite")
    assert [entry.encoding for entry in report.encodings].count("native 1x4") == 2
    found = inspect_tflite(tmp_path / "model.tflite")
    assert found.operators["FULLY_CONNECTED v8"] == 2
    assert {tensor.encoding for tensor in found.sparse_tensors} >= {"block 4"}


def test_very_sparse_unstructured_weights_use_the_native_row_kernel(tmp_path):
    report = to_tflite(zero_out(mlp(512), 0.98), tmp_path / "model.tflite")
    assert "native rows" in {entry.encoding for entry in report.encodings}


def test_blocked_recurrent_weights_are_native_inside_the_loop_body(tmp_path):
    model = keras.Sequential([keras.Input((4, 128)), layers.LSTM(128)])
    to_tflite(zero_out(model, 0.95, block=4), tmp_path / "model.tflite")
    found = inspect_tflite(tmp_path / "model.tflite")
    assert found.operators["FULLY_CONNECTED v8"] == 2
    assert any(tensor.graph > 0 for tensor in found.sparse_tensors)


def test_where_convolutions_cannot_be_sparse_the_report_says_once_to_remove_channels(tmp_path):
    report = to_tflite(zero_out(cnn(), 0.9), tmp_path / "model.tflite", target="x86")
    assert str(report).count("tfprune.channels") == 1
    assert "no sparse kernels on x86: for speed remove channels" in str(report)
    other = dataclasses.replace(report, target="wasm")
    assert "remove channels" not in str(other)
    assert "on wasm in int8: for speed" in str(dataclasses.replace(other, quantize="int8"))
    report = to_tflite(zero_out(mlp(), 0.9, block=4), tmp_path / "model.tflite", target="x86")
    assert "remove channels" not in str(report)


def test_a_dense_model_exports_dense_and_says_so(tmp_path):
    report = to_tflite(cnn(), tmp_path / "model.tflite")
    assert report.encodings == () and report.bytes == report.dense_bytes
    assert any("dense" in note for note in report.notes)


def test_sparse_false_writes_the_dense_file(tmp_path):
    report = to_tflite(zero_out(mlp(), 0.9), tmp_path / "model.tflite", sparse=False)
    assert report.bytes == report.dense_bytes
    assert inspect_tflite(tmp_path / "model.tflite").sparse_tensors == ()


def test_a_half_sparse_model_never_grows(tmp_path):
    report = to_tflite(zero_out(cnn(), 0.3), tmp_path / "model.tflite")
    assert report.bytes <= report.dense_bytes


@pytest.mark.parametrize("quantize", ["float16", "int8_weights", "dynamic", "int8"])
def test_quantized_weights_are_smaller_and_close_to_keras(quantize, tmp_path):
    examples = np.random.default_rng(0).standard_normal((16, 256))
    report = to_tflite(
        zero_out(mlp(), 0.9, block=16),
        tmp_path / "model.tflite",
        target="size",
        quantize=quantize,
        representative_data=examples if quantize == "int8" else None,
    )
    assert 0 < report.largest_difference < 0.1
    unquantized = to_tflite(
        zero_out(mlp(), 0.9, block=16), tmp_path / "float.tflite", target="size"
    )
    assert report.bytes < unquantized.bytes
    width = {"float16": "float16"}.get(quantize, "int8")
    assert {entry.dtype for entry in report.encodings if len(entry.shape) == 2} == {width}


def test_a_file_of_a_free_batch_takes_any_number(tmp_path):
    model = zero_out(cnn(), 0.9)
    to_tflite(model, tmp_path / "model.tflite", batch_size=None)
    interpreter = Interpreter(model_path=str(tmp_path / "model.tflite"))
    (detail,) = interpreter.get_input_details()
    assert list(detail["shape_signature"]) == [-1, 16, 16, 3]
    images = np.random.default_rng(0).standard_normal((5, 16, 16, 3)).astype(np.float32)
    interpreter.resize_tensor_input(detail["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(detail["index"], images)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, model(images), rtol=1e-4, atol=1e-5)


def test_unrolled_recurrent_layers_predict_the_same_without_a_loop(tmp_path):
    model = zero_out(lstm(), 0.9, block=4)
    report = to_tflite(model, tmp_path / "model.tflite", unroll=True)
    operators = inspect_tflite(tmp_path / "model.tflite").operators
    assert not any(name.startswith("WHILE") for name in operators)
    assert report.largest_difference < 1e-5


def test_inputs_and_outputs_keep_their_keras_names(tmp_path):
    model = two_in_two_out()
    to_tflite(model, tmp_path / "model.tflite")
    runner = Interpreter(model_path=str(tmp_path / "model.tflite")).get_signature_runner()
    image, words = np.ones((1, 40), np.float32), np.arange(5, dtype=np.int32)[None]
    found = runner(image=image, words=words)
    expected = model({"image": image, "words": words})
    assert set(found) == {"label", "score"}
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-5)


def test_verify_inputs_are_compared_too(tmp_path, monkeypatch):
    seen = []
    predict = verify.predict

    def recording(model, signed, inputs):
        seen.append(inputs)
        return predict(model, signed, inputs)

    monkeypatch.setattr(verify, "predict", recording)
    mine = np.full((3, 256), 0.5)
    to_tflite(mlp(), tmp_path / "model.tflite", verify_inputs=mine)
    np.testing.assert_array_equal(seen[1][0], mine)


def test_random_integers_stay_inside_the_smallest_embedding():
    model = language_model()
    inputs = verify.random_inputs(model, tflite.signature.signature_of(model))
    assert inputs[0].dtype == np.int32 and 1 < inputs[0].max() < 90


def test_a_sequence_of_free_length_stays_free(tmp_path):
    model = keras.Sequential([keras.Input((None, 8)), layers.LSTM(16)])
    to_tflite(model, tmp_path / "model.tflite")
    interpreter = Interpreter(model_path=str(tmp_path / "model.tflite"))
    (detail,) = interpreter.get_input_details()
    assert list(detail["shape_signature"]) == [1, -1, 8]


def test_a_model_with_a_fixed_batch_keeps_it(tmp_path):
    model = keras.Sequential([keras.Input(batch_shape=(4, 6)), layers.Dense(3)])
    to_tflite(model, tmp_path / "model.tflite", verify_inputs=np.ones((8, 6)))
    interpreter = Interpreter(model_path=str(tmp_path / "model.tflite"))
    assert list(interpreter.get_input_details()[0]["shape"]) == [4, 6]


def test_a_subclassed_model_takes_its_dtypes_from_verify_inputs(tmp_path):
    class Tokens(keras.Model):
        def __init__(self):
            super().__init__()
            self.table = layers.Embedding(20, 4)

        def call(self, inputs):
            return self.table(inputs)

    model = Tokens()
    tokens = np.arange(6).reshape(2, 3)
    model(tokens)
    to_tflite(model, tmp_path / "model.tflite", verify_inputs=tokens)
    interpreter = Interpreter(model_path=str(tmp_path / "model.tflite"))
    assert interpreter.get_input_details()[0]["dtype"] == np.int32


def test_export_leaves_the_model_unchanged(tmp_path):
    model = zero_out(mixed_precision(), 0.5)
    before = [weight.numpy() for weight in model.weights]
    to_tflite(model, tmp_path / "model.tflite")
    assert model.layers[0].dtype_policy.name == "mixed_float16"
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_export_prints_nothing(tmp_path, capfd):
    to_tflite(lstm(), tmp_path / "model.tflite")
    assert capfd.readouterr() == ("", "")


def test_the_report_prints_a_table_and_goes_to_json(tmp_path):
    report = to_tflite(zero_out(mlp(), 0.9), tmp_path / "model.tflite")
    assert "dense" in report.table() and "densify" in report.table()
    values = json.loads(json.dumps(report.to_dict()))
    assert values["bytes"] == report.bytes
    assert values["encodings"][0]["sparsity"] == pytest.approx(0.9, abs=0.05)
    weights = 256 * 256 * 2 + 256 * 16
    nonzeros = sum(entry.nonzeros for entry in report.encodings)
    assert report.theory_bytes == 4 * nonzeros + weights // 8
