"""Chains of layers in the places of layers: graphs, nesting, sharing, ties."""

import keras
import numpy as np
import pytest
from keras import layers

from tfprune.keras_graph.chains import Chain
from tfprune.keras_graph.replacing import (
    replace_layers,
    replaceable_layers,
    require_replaceable,
)


def _halves(dense):
    """A Dense as the product of an identity and itself."""
    size = dense.kernel.shape[0]
    first = layers.Dense(size, use_bias=False, name=f"{dense.name}_in")
    last = layers.Dense(dense.units, activation=dense.activation, name=dense.name)
    weights = [np.eye(size, dtype="float32")], [w.numpy() for w in dense.weights]
    return Chain([first, last], weights)


def _x(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_a_chain_in_a_sequential_model_keeps_outputs_names_and_the_original():
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, "relu", name="a"), layers.Dense(2, name="b")]
    )
    before = model.get_weights()
    copy = replace_layers(model, {model.get_layer("a"): _halves(model.get_layer("a"))})
    assert [layer.name for layer in copy.layers] == ["a_in", "a", "b"]
    np.testing.assert_allclose(copy(_x(5, 3)), model(_x(5, 3)), rtol=1e-6)
    copy.layers[0].kernel.assign(np.zeros((3, 3)))
    for left, right in zip(before, model.get_weights()):
        np.testing.assert_array_equal(left, right)


def test_a_shared_layer_is_replaced_by_one_chain_in_nested_graphs_too():
    shared = layers.Dense(3, name="shared")
    inner_in = keras.Input((3,))
    inner = keras.Model(inner_in, layers.ReLU()(shared(inner_in)), name="inner")
    inputs = keras.Input((3,))
    model = keras.Model(inputs, [inner(shared(inputs)), shared(inputs)])
    copy = replace_layers(model, {shared: _halves(shared)})
    for got, wanted in zip(copy(_x(5, 3)), model(_x(5, 3))):
        np.testing.assert_allclose(got, wanted, rtol=1e-5)
    assert len(copy.weights) == 3  # the identity, the kernel and the bias, once each


def test_an_empty_chain_takes_a_layer_out():
    inputs = keras.Input((3,))
    scale = layers.Rescaling(2.0)
    model = keras.Model(inputs, layers.Dense(2, name="a")(scale(inputs)))
    copy = replace_layers(model, {scale: Chain()})
    assert scale.name not in [layer.name for layer in copy.layers]
    np.testing.assert_allclose(copy(2 * _x(5, 3)), model(_x(5, 3)), rtol=1e-6)


def test_the_main_layer_of_a_chain_gets_the_state_and_the_trainable_flag_stays():
    inputs, state = keras.Input((4, 3)), keras.Input((2,))
    cell = layers.GRU(2, name="rnn")
    model = keras.Model([inputs, state], cell(inputs, initial_state=state))
    cell.trainable = False
    first = layers.Dense(3, use_bias=False)
    again = layers.GRU(2, name="rnn")
    chain = Chain([first, again], [[np.eye(3, dtype="float32")], cell.get_weights()])
    copy = replace_layers(model, {cell: chain})
    given = [_x(5, 4, 3), _x(5, 2)]
    np.testing.assert_allclose(copy(given), model(given), rtol=1e-5)
    assert not copy.trainable_weights


class _Tied(layers.Layer):
    def __init__(self, table, **kwargs):
        super().__init__(**kwargs)
        self.table = table

    def call(self, inputs):
        return keras.ops.matmul(inputs, keras.ops.transpose(self.table.embeddings))


def test_layers_whose_weights_others_use_and_layers_without_graph_say_so():
    table = layers.Embedding(7, 3, name="table")
    tied = _Tied(table, name="tied")
    model = keras.Sequential([keras.Input((4,)), table, tied])
    reasons = {layer.name: reason for layer, reason in replaceable_layers(model).items()}
    assert reasons["table"] == "another layer uses its weights"

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

    own = Own()
    own(_x(2, 3))
    assert list(replaceable_layers(own).values()) == [
        "it is in a subclassed model, which has no graph"
    ]
    with pytest.raises(ValueError, match="Sequential or Functional to be cut.*class Own"):
        require_replaceable(own, "be cut")
