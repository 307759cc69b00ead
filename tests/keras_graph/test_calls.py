"""Calls of a graph behind wrappers, and the graphs in models that have none."""

import keras
import numpy as np
from keras import layers

import tfprune
from tfprune.keras_graph.calls import called_by, graph_of, graph_parts
from tfprune.keras_graph.private_keras import arguments_of, calls_of


def chain(name, *parts):
    return keras.Sequential([keras.Input((3,)), *parts, layers.Dense(3)], name=name)


class Outer(keras.Model):
    """A model without a graph of its own."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = list(parts)

    def call(self, inputs):
        return sum(part(inputs) for part in self.parts)


def test_a_call_of_a_wrapper_is_one_of_the_wrapped_layer_with_its_names_of_arguments():
    inputs = keras.Input((3, 2))
    attend = layers.MultiHeadAttention(1, 2)
    model = keras.Model(inputs, attend(inputs, value=inputs))
    pruned = tfprune.prune(model, tfprune.OneShot(0.5))
    (call,) = [node for node in calls_of(graph_of(pruned)) if not node.is_input]
    assert isinstance(call.operation, tfprune.PrunedLayer)
    assert called_by(call) is call.operation.layer
    assert list(arguments_of(call)) == ["args", "kwargs"]
    assert list(arguments_of(call, called_by(call))) == ["query", "value"]


def test_the_parts_with_a_graph_are_the_model_itself_or_the_larger_ones_first():
    inner = chain("inner", layers.Dense(3))
    small, large = chain("small"), chain("large", inner, layers.ReLU())
    assert graph_parts(large) == [large]
    model = Outer(small, large)
    model(np.zeros((1, 3), "float32"))
    assert [part.name for part in graph_parts(model)] == ["large", "inner", "small"]
    assert graph_parts(Outer(layers.Dense(3))) == []
