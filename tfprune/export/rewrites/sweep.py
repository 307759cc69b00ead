"""Removing what rewrites leave behind."""

from collections.abc import Iterable

import numpy as np

from tfprune.export.file.graph import OPERATORS, Graph


def apply(graph: Graph) -> None:
    """Drop PADs, tensors and the bytes of constants that nothing reads.

    Args:
        graph: The main graph of its model, changed in place.
    """
    given = {int(index) for index in (*graph.graph.inputs, *graph.graph.outputs)}
    read = set(graph.readers()) | given
    graph.rewrite(
        lambda operator: (
            ()
            if graph.code(operator) == OPERATORS.PAD and int(operator.outputs[0]) not in read
            else (operator,)
        )
    )
    used = set(graph.readers()) | set(graph.producers()) | given
    for operator in graph.operators:
        used |= {int(index) for index in _indices(operator.intermediates)}
    _renumber(graph, sorted(used))
    model = graph.model
    live = {tensor.buffer for other in model.subgraphs for tensor in other.tensors}
    live |= {entry.buffer for entry in model.metadata or ()}
    for position, buffer in enumerate(model.buffers):
        if position not in live:
            buffer.data = None


def _renumber(graph: Graph, kept: list[int]) -> None:
    """Keep some tensors, in their order, and let everything point at their new places."""
    places = {-1: -1, **{index: place for place, index in enumerate(kept)}}

    def moved(indices: Iterable[int]) -> np.ndarray:
        return np.array([places[int(index)] for index in indices], np.int32)

    for operator in graph.operators:
        operator.inputs, operator.outputs = moved(operator.inputs), moved(operator.outputs)
        if operator.intermediates is not None:
            operator.intermediates = moved(operator.intermediates)
    graph.graph.inputs, graph.graph.outputs = moved(graph.graph.inputs), moved(graph.graph.outputs)
    graph.graph.tensors = [graph.tensor(index) for index in kept]
    for definition in graph.model.signatureDefs or ():
        if definition.subgraphIndex == 0:
            for entry in (*definition.inputs, *definition.outputs):
                entry.tensorIndex = places[int(entry.tensorIndex)]


def _indices(vector: Iterable[int] | None) -> Iterable[int]:
    return () if vector is None else vector
