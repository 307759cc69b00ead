"""What comes out of a loop is given out by an operator of its own."""

import keras
import numpy as np
import pytest
from keras import layers

from tfprune.export import to_tflite
from tfprune.export.convert import converter
from tfprune.export.file import signature
from tfprune.export.file.subgraph import OPERATORS, subgraphs
from tfprune.export.run import runtime, wasm

RECURRENT = {
    "lstm": layers.LSTM,
    "gru": layers.GRU,
    "both directions": lambda units, **options: layers.Bidirectional(layers.LSTM(units, **options)),
}


def with_states(kind, pick=slice(None)):
    inputs = keras.Input((4, 6))
    layer = RECURRENT[kind](8, return_sequences=True, return_state=True)
    return keras.Model(inputs, layer(inputs)[pick])


@pytest.mark.parametrize("kind", RECURRENT)
def test_states_are_given_out_by_a_reshape(kind):
    model = with_states(kind)
    file = converter.convert(model, signature.signature_of(model))
    main = subgraphs(file.model)[0]
    producers = main.producers()
    codes = [main.code(producers[index]) for index in main.outputs]
    assert OPERATORS.WHILE not in codes and codes.count(OPERATORS.RESHAPE) >= len(codes) - 1
    assert [main.shape(index) for index in main.outputs][-1] == (1, 8)


def test_free_lengths_are_left_as_they_are(tmp_path):
    inputs = keras.Input((None, 6))
    outputs = layers.LSTM(8, return_sequences=True, return_state=True)(inputs)
    path = tmp_path / "model.tflite"
    to_tflite(keras.Model(inputs, outputs), path)
    found = runtime.outputs(path, [np.ones((1, 9, 6), np.float32)])[runtime.KERNELS[0]]
    assert sorted(array.shape for array in found) == [(1, 8), (1, 8), (1, 9, 8)]


@pytest.mark.skipif(not wasm.is_installed(), reason="needs Node and LiteRT.js")
@pytest.mark.parametrize(
    ("kind", "pick"),
    [("lstm", slice(None)), ("gru", slice(None)), ("both directions", slice(None)), ("lstm", 2)],
)
def test_webassembly_runs_layers_that_return_sequences_and_states(kind, pick, tmp_path):
    report = to_tflite(with_states(kind, pick), tmp_path / "model.tflite", target="wasm")
    assert report.largest_difference < 1e-5
    assert not any("WebAssembly" in note for note in report.notes)
