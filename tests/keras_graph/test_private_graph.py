"""Contracts of the private names of Keras that tell of a model's graph."""

import keras
import numpy as np

from tests.support.helpers import dense
from tfprune.keras_graph import private_keras


def test_functional_class_is_that_of_functional_models_alone():
    inputs = keras.Input((3,))
    functional = private_keras.functional_class()
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    assert isinstance(model, functional)
    assert not isinstance(keras.Sequential([inputs, keras.layers.Dense(2)]), functional)
    assert not isinstance(keras.Model(), functional)


def test_functional_of_a_sequential_model_is_there_once_it_is_built():
    model = keras.Sequential(dense(3, 2))
    assert private_keras.functional_of(model) is None
    model.build((None, 4))
    inside = private_keras.functional_of(model)
    assert isinstance(inside, private_keras.functional_class())
    assert [layer.name for layer in inside.layers][1:] == [layer.name for layer in model.layers]
    x = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(np.asarray(inside(x)), np.asarray(model(x)))


def test_calls_run_in_an_order_in_which_all_inputs_are_there():
    inputs = keras.Input((4,), name="in")
    first, second = dense(4, 4)
    again = first(second(first(inputs)))
    model = keras.Model(inputs, keras.layers.Add(name="sum")([again, inputs]))
    calls = list(private_keras.calls_of(model))
    found = [call.operation.name for call in calls]
    assert found == ["in", "dense_0", "dense_1", "dense_0", "sum"]
    assert [call.is_input for call in calls] == [True, False, False, False, False]
    for index, call in enumerate(calls):
        before = {id(other) for other in calls[:index]}
        assert all(id(parent) in before for parent in call.parent_nodes)
    assert [len(call.parent_nodes) for call in calls] == [0, 1, 1, 1, 2]


def test_calls_join_each_other_by_their_tensors_which_know_their_makers():
    inputs = keras.Input((4,))
    first, second = dense(3, 2)
    model = keras.Model(inputs, second(first(inputs)))
    source, one, two = private_keras.calls_of(model)
    assert source.output_tensors[0] is one.input_tensors[0] is inputs
    assert one.output_tensors[0] is two.input_tensors[0]
    assert two.output_tensors[0] is model.outputs[0]
    assert private_keras.call_behind(model.outputs[0]) == (two, 0)
    assert (private_keras.readers_of(first), private_keras.readers_of(second)) == ([second], [])


def test_calls_are_those_of_the_model_and_not_of_another_with_the_same_layer():
    (shared,) = dense(4)
    inputs, others = keras.Input((4,)), keras.Input((4,))
    model = keras.Model(inputs, shared(inputs))
    keras.Model(others, shared(shared(others)))
    assert len(list(private_keras.calls_of(model))) == 2


def test_nodes_tell_what_they_were_called_with_and_can_be_called_again():
    inputs = keras.Input((3,))
    outputs = keras.layers.Attention()([inputs[:, None], inputs[:, None]])
    functional = keras.Model(inputs, outputs)
    nodes = [node for node in private_keras.calls_of(functional) if not node.is_input]
    given = private_keras.arguments_of(nodes[0])
    assert given["key"] == (slice(None), None) and given["x"] is nodes[0].input_tensors[0]
    values = {nodes[0].input_tensors[0]: np.ones((2, 3), "float32")}
    (found,) = private_keras.called_again(nodes[0], nodes[0].operation, values)
    assert found.shape == (2, 1, 3)
    assert private_keras.shapes_of_outputs(nodes[0], {inputs: (7, 3)}) == [(7, 1, 3)]
    assert all(isinstance(node, private_keras.Node) for node in nodes)
    assert all(isinstance(node.operation, private_keras.Operation) for node in nodes)


def test_structures_of_a_functional_model_are_its_nests():
    a, b = keras.Input((1,), name="a"), keras.Input((1,), name="b")
    functional = keras.Model({"a": a, "b": [b]}, [a + b])
    taken, returned = private_keras.structures_of(functional)
    assert keras.tree.flatten(taken) == [a, b] and set(taken) == {"a", "b"}
    assert isinstance(returned, list) and len(returned) == 1
    assert private_keras.inputs_in_order(functional, {"a": 1, "b": [2]}) == [1, 2]
    assert private_keras.inputs_in_order(keras.Model([b, a], a + b), {"a": 1, "b": 2}) == [2, 1]
