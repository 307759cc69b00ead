"""The calls of a Sequential or Functional model: what runs, in which order, on whose outputs.

This is the one place that reads a model's graph. Nested models are replaced by what is in them, and
wrappers by what they wrap.
"""

import dataclasses
from typing import NamedTuple

import keras

from tfprune.keras_graph.private_keras import (
    Node,
    arguments_of,
    call_behind,
    calls_of,
    functional_of,
    inputs_in_order,
    sublayers,
)
from tfprune.keras_graph.sublayers import has_own_call, is_graph
from tfprune.wrapping.pruned_layer import PrunedLayer
from tfprune.wrapping.ranges.ranged_layer import RangedLayer


@dataclasses.dataclass(eq=False)
class Value:
    """A tensor in one call of the model, with its shape. Compared by identity."""

    shape: tuple[int | None, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer or operation that is no graph model; of the wrapped one if pruned.

    The calls of the model's own input layers have no inputs.
    """

    operation: keras.Operation
    inputs: list[Value]
    outputs: list[Value]


@dataclasses.dataclass(frozen=True)
class LayerGraph:
    """Layers (and bare operations such as `x + y`), nested models replaced by what is in them.

    Args:
        inputs: input layers of the model.
        outputs: layers whose outputs the model returns.
        edges: (producer, consumer) pairs.
    """

    inputs: list[keras.Operation]
    outputs: list[keras.Operation]
    edges: list[tuple[keras.Operation, keras.Operation]]

    def consumers(self, layer: keras.Operation) -> list[keras.Operation]:
        """Return the layers that `layer` feeds."""
        return [consumer for producer, consumer in self.edges if producer is layer]

    def producers(self, layer: keras.Operation) -> list[keras.Operation]:
        """Return the layers that feed `layer`, each once."""
        found: list[keras.Operation] = []
        for producer, consumer in self.edges:
            if consumer is layer and not any(producer is known for known in found):
                found.append(producer)
        return found


def layer_graph(model: keras.Model) -> LayerGraph:
    """Return the graph of a built Sequential or Functional model.

    Example:
        >>> dense = keras.layers.Dense(2)
        >>> graph = layer_graph(keras.Sequential([keras.Input((3,)), dense, keras.layers.ReLU()]))
        >>> [layer.name for layer in graph.consumers(dense)] == [graph.outputs[0].name]
        True
    """
    calls, returned = flat_calls(model)
    maker = {value: call.operation for call in calls for value in call.outputs}
    edges = [(maker[value], call.operation) for call in calls for value in call.inputs]
    outputs = [call.operation for call in calls if any(value in returned for value in call.outputs)]
    return LayerGraph([call.operation for call in calls if not call.inputs], outputs, edges)


def flat_calls(model: keras.Model) -> tuple[list[Call], list[Value]]:
    """Return the calls in the order they run, and the outputs; nothing for a model with no graph.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="a")])
        >>> calls, returned = flat_calls(model)
        >>> calls[-1].operation.name, calls[-1].outputs == returned
        ('a', True)
    """
    graph = graph_of(model)
    if graph is None:
        return [], []
    inputs = [Value(tuple(tensor.shape)) for tensor in graph.inputs]
    makers = [node.operation for node in calls_of(graph) if node.is_input]
    by_tensor = {tensor: value for tensor, value in zip(graph.inputs, inputs)}
    calls = [Call(layer, [], [by_tensor[layer.output]]) for layer in makers]
    return calls, _expand(graph, inputs, calls)


def users_of(calls: list[Call], returned: list[Value]) -> dict[Value, list[Call | None]]:
    """Return value -> the calls that take it, with None for the outputs of the model.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="a")])
        >>> users = users_of(*flat_calls(model)).values()
        >>> [calls[0] and calls[0].operation.name for calls in users]
        [None, 'a']
    """
    users: dict[Value, list[Call | None]] = {value: [None] for value in returned}
    for call in calls:
        for value in call.inputs:
            users.setdefault(value, []).append(call)
    return users


def _expand(graph: keras.Model, arguments: list[Value], calls: list[Call]) -> list[Value]:
    values = {tensor: value for tensor, value in zip(graph.inputs, arguments)}
    for node in calls_of(graph):
        if node.is_input:
            continue
        operation = called_by(node)
        inputs = [values[tensor] for tensor in node.input_tensors]
        inner = graph_of(operation)
        if inner is not None and len(inner.inputs) == len(inputs):
            ordered = [values[tensor] for tensor in given_to(node, inner)]
            outputs = _expand(inner, ordered, calls)
        else:
            outputs = [Value(tuple(tensor.shape)) for tensor in node.output_tensors]
            calls.append(Call(operation, inputs, outputs))
        values.update(zip(node.output_tensors, outputs))
    return [values[tensor] for tensor in graph.outputs]


def called_by(node: Node) -> keras.Operation:
    """Return the operation of a call; the layer that it wraps if it is pruned or has ranges."""
    operation = node.operation
    while isinstance(operation, PrunedLayer | RangedLayer):
        operation = operation.layer
    return operation


class Maker(NamedTuple):
    """What makes a tensor, inside of nested models and wrappers.

    Attributes:
        node: the innermost call.
        operation: called there; the layer in its wrappers.
        tensor: as that call makes it.
        rank: number of its axes as the operation sees them, without that of time steps that
            `TimeDistributed` takes one by one.
    """

    node: Node
    operation: keras.Operation
    tensor: keras.KerasTensor
    rank: int


def maker_of(tensor: keras.KerasTensor) -> Maker:
    """Return what makes a tensor of a graph.

    Example:
        >>> inside = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="a")])
        >>> model = keras.Sequential([keras.Input((4, 3)), keras.layers.TimeDistributed(inside)])
        >>> made = maker_of(model.outputs[0])
        >>> made.operation.name, made.rank, made.tensor.shape
        ('a', 2, (None, 2))
    """
    node, position = call_behind(tensor)
    operation, rank = node.operation, len(tensor.shape)
    while isinstance(operation, keras.layers.Wrapper):
        rank -= isinstance(operation, keras.layers.TimeDistributed)
        operation = operation.layer
    graph = graph_of(operation)
    if graph is not None:
        return maker_of(graph.outputs[position])
    return Maker(node, operation, tensor, rank)


def given_to(node: Node, graph: keras.Model) -> list[keras.KerasTensor]:
    """Return the tensors that a call gives to a nested model, in the order of its inputs.

    Masks are not among them. A constant stands as it was given.
    """
    return inputs_in_order(graph, next(iter(arguments_of(node).values())))


def graph_of(model: object) -> keras.Model | None:
    """Return the Functional model that has the calls.

    None for what is no built graph model, or has a `call` of its own, which may ignore the graph.
    """
    if not is_graph(model) or has_own_call(model):
        return None
    return functional_of(model) if isinstance(model, keras.Sequential) else model


def graph_parts(model: keras.Model) -> list[keras.Model]:
    """Return the model itself if it has a graph, else all its parts that have, larger ones first.

    Parts of parts are among them, behind what they are in.
    """
    if graph_of(model) is not None:
        return [model]
    parts = [part for part in sublayers(model)[1:] if graph_of(part) is not None]
    return sorted(parts, key=lambda part: -len(sublayers(part)))
