"""Sizes that a model leaves free, and those that only the converter does."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from tfprune.export import lint, to_tflite
from tfprune.export.convert import converter
from tfprune.export.file import signature
from tfprune.export.run import runtime

RNG = np.random.default_rng(0)


def attention_over_single_features():
    """The converter fails on this at a batch of one, and converts it at a free one."""
    inputs = keras.Input((20, 1))
    x = layers.Add()([inputs, layers.MultiHeadAttention(2, 8)(inputs, inputs)])
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def over_free_lengths(*stack, features=4):
    return keras.Sequential([keras.Input((None, features)), *stack])


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_where_a_fixed_batch_does_not_convert_a_free_one_is_fixed(quantize, tmp_path):
    model, path = attention_over_single_features(), tmp_path / "model.tflite"
    data = {"representative_data": RNG.standard_normal((8, 20, 1))} if quantize else {}
    report = to_tflite(model, path, quantize=quantize, **data)
    assert report.largest_difference < (0.1 if quantize else 1e-5)
    (detail,) = Interpreter(str(path)).get_input_details()
    assert list(detail["shape"]) == list(detail["shape_signature"]) == [1, 20, 1]
    assert not any("free height" in note for note in lint(path).notes)


def test_a_fixed_file_has_no_free_size_left():
    model = attention_over_single_features()
    main = converter.convert(model, signature.signature_of(model)).model.subgraphs[0]
    assert all(tensor.shapeSignature is None for tensor in main.tensors)
    (output,) = main.outputs
    assert list(main.tensors[output].shape) == [1, 3]


def test_a_file_of_free_length_loads_as_it_is_and_takes_others(tmp_path):
    model = over_free_lengths(layers.Conv1D(8, 3), layers.Conv1D(8, 5, strides=2))
    path = tmp_path / "model.tflite"
    to_tflite(model, path)
    for kernels in runtime.KERNELS:
        assert runtime.load(path)[0] > 0
        for length in (32, 9):
            x = RNG.standard_normal((1, length, 4)).astype(np.float32)
            (found,) = runtime.outputs(path, [x], kernels=[kernels])[kernels]
            np.testing.assert_allclose(found, model(x), atol=1e-5)
    row, _ = lint(path).layers
    assert row.multiply_adds == 30 * 3 * 4 * 8  # at the 32 steps that it loads with


def test_the_length_is_found_at_which_all_windows_fit(tmp_path):
    wide = over_free_lengths(layers.Conv1D(4, 3, dilation_rate=30), layers.GlobalMaxPooling1D())
    path = tmp_path / "model.tflite"
    to_tflite(wide, path)
    (detail,) = Interpreter(str(path)).get_input_details()
    assert list(detail["shape"]) == [1, 64, 4] and list(detail["shape_signature"]) == [1, -1, 4]


def test_given_lengths_come_first_and_may_be_the_only_ones(tmp_path):
    folded = over_free_lengths(layers.Reshape((-1, 12)), layers.Dense(2), features=1)
    path = tmp_path / "model.tflite"
    with pytest.raises(ValueError, match="`verify_inputs` must be given: .* none of the sizes"):
        to_tflite(folded, path)
    assert not path.exists()
    to_tflite(folded, path, verify_inputs=RNG.standard_normal((2, 36, 1)))
    (detail,) = Interpreter(str(path)).get_input_details()
    assert list(detail["shape"]) == [1, 36, 1]


def test_a_free_batch_and_a_free_image_stay_free(tmp_path):
    stack = [layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)]
    model, path = keras.Sequential([keras.Input((None, None, 3)), *stack]), tmp_path / "m.tflite"
    to_tflite(model, path, batch_size=None)
    x = RNG.standard_normal((3, 10, 20, 3)).astype(np.float32)
    (found,) = runtime.outputs(path, [x], kernels=[runtime.KERNELS[0]])[runtime.KERNELS[0]]
    np.testing.assert_allclose(found, model(x), atol=1e-5)


def test_free_lengths_are_refused_where_the_runtime_takes_none(tmp_path):
    model = over_free_lengths(layers.Conv1D(4, 3))
    with pytest.raises(ValueError, match=r"`model` must have inputs of fixed sizes for `target='w"):
        to_tflite(model, tmp_path / "model.tflite", target="wasm")
