"""The graph of a Sequential or Functional model as layers and the layers they feed."""

import dataclasses
import itertools
from typing import Any

import keras

from tfprune.keras_graph.rebuilding import is_graph


@dataclasses.dataclass(frozen=True)
class LayerGraph:
    """Layers (and bare operations such as `x + y`), nested models replaced by what is in them.

    Args:
        inputs: input layers; first layers, for a Sequential model.
        outputs: layers whose outputs the model returns.
        edges: (producer, consumer) pairs.
    """

    inputs: list[Any]
    outputs: list[Any]
    edges: list[tuple[Any, Any]]

    def consumers(self, layer: Any) -> list[Any]:
        """Return the layers that `layer` feeds."""
        return [consumer for producer, consumer in self.edges if producer is layer]

    def producers(self, layer: Any) -> list[Any]:
        """Return the layers that feed `layer`, each once."""
        found = {id(p): p for p, consumer in self.edges if consumer is layer}
        return list(found.values())


def layer_graph(model: keras.Model) -> LayerGraph:
    """Return the graph of a built Sequential or Functional model.

    Example:
        >>> dense = keras.layers.Dense(2)
        >>> graph = layer_graph(keras.Sequential([keras.Input((3,)), dense, keras.layers.ReLU()]))
        >>> [layer.name for layer in graph.consumers(dense)] == [graph.outputs[0].name]
        True
    """
    if isinstance(model, keras.Sequential):
        parts = [_expand(layer) for layer in model.layers]
        edges = [edge for part in parts for edge in part.edges]
        for before, after in itertools.pairwise(parts):
            edges += itertools.product(before.outputs, after.inputs)
        return LayerGraph(parts[0].inputs, parts[-1].outputs, edges)
    calls = _calls(model)
    expanded = {id(op): _expand(op) for op, _, _ in calls}
    edges = [edge for part in expanded.values() for edge in part.edges]
    for operation, parents, _ in calls:
        for parent in parents:
            edges += itertools.product(expanded[id(parent)].outputs, expanded[id(operation)].inputs)
    returned = {id(tensor) for tensor in model.outputs}
    outputs = [
        output
        for operation, _, tensors in calls
        if any(id(tensor) in returned for tensor in tensors)
        for output in expanded[id(operation)].outputs
    ]
    return LayerGraph([op for op, parents, _ in calls if not parents], outputs, edges)


def _expand(operation: Any) -> LayerGraph:
    if is_graph(operation):
        return layer_graph(operation)
    return LayerGraph([operation], [operation], [])


def _calls(model: keras.Model) -> list[tuple[Any, list[Any], list[Any]]]:
    """Return (operation, operations that feed it, its output tensors) for each call in the model.

    A layer's own list of calls would include those in other models; Keras has no public list of
    the calls in one model (as of 3.15).
    """
    return [
        (node.operation, [parent.operation for parent in node.parent_nodes], node.output_tensors)
        for nodes in model._nodes_by_depth.values()
        for node in nodes
    ]
