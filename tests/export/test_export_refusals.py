"""Every way in which an export refuses, and that nothing is left behind then."""

import dataclasses
import os

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tfprune.export import tflite, to_tflite
from tfprune.export.builder import build
from tfprune.export.file import flatbuffer


def mlp(units=256):
    return keras.Sequential(
        [keras.Input((units,)), layers.Dense(units, activation="relu"), layers.Dense(16)]
    )


def corrupt(file, **options):
    """Stands in for the builder and writes huge weights into the middle of the file."""
    spoiled = bytearray(file.content)
    middle = len(spoiled) // 2 // 4 * 4
    spoiled[middle : middle + 64] = np.full(16, 1e6, np.float32).tobytes()
    return dataclasses.replace(build(file, **options), content=bytes(spoiled))


@pytest.mark.parametrize("older", [None, b"an older file"])
def test_a_mismatch_leaves_no_file_behind(older, tmp_path, monkeypatch):
    path = tmp_path / "model.tflite"
    if older:
        path.write_bytes(older)
    monkeypatch.setattr(tflite, "build", corrupt)
    with pytest.raises(ValueError, match="must predict the same"):
        to_tflite(mlp(), path)
    assert os.listdir(tmp_path) == (["model.tflite"] if older else [])
    assert not older or path.read_bytes() == older


@pytest.mark.parametrize("quantize", ["float16", "int8_weights", "dynamic", "int8"])
def test_rounding_does_not_hide_a_wrong_encoding(quantize, tmp_path, monkeypatch):
    model = mlp()

    def of_other_weights(file, **options):
        model.layers[0].kernel.assign(model.layers[0].kernel * 1.2)
        other = tflite.converter.convert(model, tflite.signature.signature_of(model))
        return build(other, **options)

    monkeypatch.setattr(tflite, "build", of_other_weights)
    data = np.random.default_rng(0).standard_normal((16, 256)) if quantize == "int8" else None
    with pytest.raises(ValueError, match="must predict"):
        to_tflite(model, tmp_path / "model.tflite", quantize=quantize, representative_data=data)
    assert os.listdir(tmp_path) == []


def test_nan_weights_are_refused_by_name(tmp_path):
    model = mlp()
    model.layers[1].kernel.assign(np.full((256, 16), np.nan))
    with pytest.raises(ValueError, match="NaN in the weight '.*dense.*kernel'"):
        to_tflite(model, tmp_path / "model.tflite")
    assert os.listdir(tmp_path) == []


def logarithm():
    return keras.Sequential([keras.Input((4,)), layers.Activation(keras.ops.log)])


def test_nan_predictions_are_refused(tmp_path):
    for options in ({}, {"verify_inputs": -np.ones((1, 4))}):
        with pytest.raises(ValueError, match="must predict numbers"):
            to_tflite(logarithm(), tmp_path / "model.tflite", **options)
    assert os.listdir(tmp_path) == []


def test_verify_inputs_stand_in_where_random_ones_are_outside_the_domain(tmp_path):
    report = to_tflite(logarithm(), tmp_path / "model.tflite", verify_inputs=np.full((2, 4), 3.0))
    assert report.largest_difference < 1e-6


def forbid_conversion(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("converted although the arguments are wrong")

    monkeypatch.setattr(tflite.converter, "convert", fail)


@pytest.mark.parametrize("place", ["missing/model.tflite", "file/model.tflite", "."])
def test_an_unwritable_path_is_one_error_before_converting(place, tmp_path, monkeypatch):
    forbid_conversion(monkeypatch)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match="`path` must be writable. Received: path="):
        to_tflite(mlp(), tmp_path / place)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantize": "int3"}, "`quantize` must be one of None, 'float16', 'int8_weights', 'dy"),
        ({"target": "gpu"}, "`target` must be one of 'auto', 'arm64', 'wasm', 'x86', 'size'"),
        ({"quantize": "int8"}, "`representative_data` must be given"),
        ({"quantize": "int8", "representative_data": [1]}, "`representative_data` must fit the"),
        (
            {"quantize": "int8", "representative_data": np.ones((2, 5))},
            r"`representative_data` must fit .*Received: an array of shape \(2, 5\)",
        ),
        ({"quantize": "dynamic", "representative_data": np.ones((2, 256))}, "must be None unless"),
        (
            {"quantize": "int8", "representative_data": np.ones((2, 256)), "batch_size": None},
            "`batch_size` must be a number",
        ),
        ({"target": "wasm", "batch_size": None}, "`batch_size` must be a number"),
        ({"batch_size": 0}, "`batch_size` must be >= 1"),
        ({"lower_conv3x3": True, "target": "x86"}, "`lower_conv3x3` must be False"),
        ({"verify_inputs": np.ones((2, 5))}, "`verify_inputs` must fit the input"),
        ({"verify_inputs": np.ones((0, 256))}, "at least one"),
        ({"verify_inputs": [np.ones((2, 256))] * 2}, "one array per input"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    options, message, tmp_path, monkeypatch
):
    forbid_conversion(monkeypatch)
    with pytest.raises(ValueError, match=message):
        to_tflite(mlp(), tmp_path / "model.tflite", **options)
    assert os.listdir(tmp_path) == []


def test_models_that_cannot_be_exported_are_refused_by_name(tmp_path):
    path = tmp_path / "model.tflite"
    with pytest.raises(TypeError, match="must be a keras.Model"):
        to_tflite(layers.Dense(3), path)
    with pytest.raises(ValueError, match="must be built"):
        to_tflite(keras.Sequential([layers.Dense(3)]), path)
    stateful = [keras.Input(batch_shape=(1, 3, 2)), layers.LSTM(4, stateful=True, name="memory")]
    with pytest.raises(ValueError, match="stateful layers .*'memory'"):
        to_tflite(keras.Sequential(stateful), path)
    assert os.listdir(tmp_path) == []


def test_strings_are_refused_before_anything_is_converted(tmp_path, monkeypatch):
    forbid_conversion(monkeypatch)
    lookup = layers.StringLookup(vocabulary=["a", "b"])
    model = keras.Sequential([keras.Input((1,), dtype="string", name="text"), lookup])
    with pytest.raises(ValueError, match="must take numbers.*'text' of dtype 'string'"):
        to_tflite(model, tmp_path / "model.tflite")


def test_of_the_errors_of_the_converter_only_the_error_is_repeated(tmp_path):
    model = of_function(lambda x: keras.ops.svd(keras.ops.reshape(x, (-1, 2, 2)))[1], (4,))
    with pytest.raises(ValueError) as error:
        to_tflite(model, tmp_path / "model.tflite")
    assert str(error.value) == (
        "`model` must be one that TensorFlow's converter to TFLite takes. Received: "
        f"model={model.name!r} ('tf.Svd' op is neither a custom op nor a flex op)."
    )


def test_a_model_whose_file_does_not_run_is_named_and_not_the_temporary_file(tmp_path, monkeypatch):
    def broken(file, **options):
        model = flatbuffer.copied(file.model)
        model.operatorCodes[0].version = 99
        return dataclasses.replace(build(file, **options), content=flatbuffer.pack(model))

    monkeypatch.setattr(tflite, "build", broken)
    with pytest.raises(ValueError, match="`model` must become a file that LiteRT can run") as error:
        to_tflite(mlp(), tmp_path / "model.tflite")
    assert "version '99'" in str(error.value) and str(tmp_path) not in str(error.value)
    assert os.listdir(tmp_path) == []


def of_function(function, shape):
    return keras.Sequential([keras.Input(shape), layers.Lambda(function)])


def test_loops_that_int8_cannot_have_are_refused_by_name(tmp_path):
    free = keras.Sequential([keras.Input((None, 8)), layers.LSTM(8)])
    with pytest.raises(ValueError, match=r"fixed number of time steps.*shape \(None, 8\)"):
        to_tflite(free, tmp_path / "a.tflite", quantize="int8", representative_data=ones(4, 3, 8))
    with pytest.raises(ValueError, match=r"fixed number of time steps"):
        to_tflite(free, tmp_path / "a.tflite", unroll=True)
    grown = layers.Lambda(lambda x: keras.ops.fori_loop(0, 3, lambda i, y: y * 1.1, x))
    looping = keras.Sequential([keras.Input((8,)), layers.Dense(8), grown])
    with pytest.raises(ValueError, match="cannot calibrate the loop '.*while.*'"):
        to_tflite(looping, tmp_path / "a.tflite", quantize="int8", representative_data=ones(4, 8))
    assert os.listdir(tmp_path) == []


def ones(*shape):
    return np.ones(shape, np.float32)


def test_a_model_that_still_holds_pruned_layers_must_be_stripped_first(tmp_path):
    pruned = tfprune.prune(mlp(), tfprune.ConstantSparsity(0.5, 0))
    with pytest.raises(ValueError, match="must be stripped.*strip_pruning"):
        to_tflite(pruned, tmp_path / "model.tflite")
    assert os.listdir(tmp_path) == []
