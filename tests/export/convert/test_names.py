"""Weights in files have the names that Keras gives them."""

import keras
import numpy as np
import pytest
from keras import layers

from tfprune.export.convert import converter, copies
from tfprune.export.file import signature
from tfprune.export.file.constants import inputs_of
from tfprune.export.file.subgraph import subgraphs


def weights_of(model, quantize=None):
    """Operators' weights in running order, each once."""
    signed = signature.signature_of(model)
    examples = [np.zeros((4, *entry.shape[1:]), entry.dtype) for entry in signed.inputs]
    source = copies.unrolled(model, signed) if quantize == "int8" else model
    file = converter.convert(source, signed, quantize=quantize, representative=examples)
    found = []
    for subgraph in subgraphs(file.model):
        for operator in subgraph.operators:
            weight, _ = inputs_of(subgraph, operator)
            if weight is not None and subgraph.constant(weight) is not None:
                found.append(subgraph.name(weight))
    return list(dict.fromkeys(found))


def normalized_depthwise():
    stack = [keras.Input((12, 12, 3))]
    for name in ("wide", "se", "se_1"):
        stack += [
            layers.DepthwiseConv2D(3, use_bias=False, name=name),
            layers.BatchNormalization(name=f"{name}_BN"),
        ]
    model = keras.Sequential([*stack, layers.Conv2D(4, 1, name="last")])
    rng = np.random.default_rng(0)
    for weight in model.weights:  # values that no file can leave out or share
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return model


def stacked_recurrent():
    """Cells of one name, whose two kernels are as large as each other."""
    recurrent = [
        layers.LSTM(8, return_sequences=True, name="lstm"),
        layers.LSTM(8, return_sequences=True, name="lstm_1"),
        layers.Bidirectional(layers.GRU(8, name="gru"), name="both"),
    ]
    return keras.Sequential([keras.Input((3, 8)), *recurrent, layers.Dense(4, name="lstm_2")])


def nested_and_shared():
    inner = keras.Sequential(
        [keras.Input((6,)), layers.Dense(6, name="a"), layers.Dense(5, name="a_1")], name="inner"
    )
    shared = layers.Dense(6, name="a")
    tokens = keras.Input((7,), dtype="int32")
    x = layers.Embedding(20, 6, name="words")(tokens)
    x = layers.Flatten()(layers.MultiHeadAttention(2, 3, name="attention")(x, x))
    x = layers.Dense(6, name="a_3")(x)
    return keras.Model(tokens, inner(shared(shared(x))))


EXPECTED = {
    normalized_depthwise: ["wide/kernel", "se/kernel", "se_1/kernel", "last/kernel"],
    stacked_recurrent: [
        f"{layer}/{cell}/{kind}kernel"
        for layer, cell in (
            ("lstm", "lstm_cell"),
            ("lstm_1", "lstm_cell"),
            ("both/forward_gru", "gru_cell"),
            ("both/backward_gru", "gru_cell"),
        )
        for kind in ("", "recurrent_")
    ]
    + ["lstm_2/kernel"],
    nested_and_shared: [
        "words/embeddings",
        *(f"attention/{part}/kernel" for part in ("query", "key", "value", "attention_output")),
        "a_3/kernel",
        "a/kernel",
        "inner/a/kernel",
        "inner/a_1/kernel",
    ],
}


@pytest.mark.parametrize("quantize", [None, "dynamic", "int8"])
@pytest.mark.parametrize("builder", EXPECTED, ids=lambda builder: builder.__name__)
def test_weights_are_named_as_in_keras(builder, quantize):
    found = weights_of(builder(), quantize)
    assert sorted(found) == sorted(EXPECTED[builder])


def test_the_two_kernels_of_a_cell_keep_their_own_names():
    model = stacked_recurrent()
    file = converter.convert(model, signature.signature_of(model))
    cell = model.layers[1].cell
    stored = {
        subgraph.name(index): subgraph.constant(index)
        for subgraph in subgraphs(file.model)
        for index in range(len(subgraph.table.tensors))
    }
    for name, variable in (("kernel", cell.kernel), ("recurrent_kernel", cell.recurrent_kernel)):
        np.testing.assert_array_equal(
            stored[f"lstm_1/lstm_cell/{name}"], np.transpose(variable.numpy())
        )


def test_biases_are_named_too_and_joined_names_are_cut():
    model = normalized_depthwise()
    file = converter.convert(model, signature.signature_of(model))
    (main,) = subgraphs(file.model)
    names = [main.name(index) for index in range(len(main.table.tensors))]
    assert {"wide/bias", "se/bias", "se_1/bias", "last/bias"} <= set(names)
    assert not any(";" in name for name in names)
