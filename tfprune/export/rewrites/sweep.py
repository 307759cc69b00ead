"""Removing what rewrites leave behind."""

from collections.abc import Iterable

import numpy as np

from tfprune.export.file.subgraph import OPERATORS, Subgraph


def apply(subgraph: Subgraph) -> None:
    """Drop PADs, tensors and the bytes of constants that nothing reads.

    Args:
        subgraph: The main subgraph of its model, changed in place.
    """
    given = {*subgraph.inputs, *subgraph.outputs}
    read = set(subgraph.readers()) | given
    subgraph.rewrite(
        lambda operator: (
            ()
            if subgraph.code(operator) == OPERATORS.PAD and int(operator.outputs[0]) not in read
            else (operator,)
        )
    )
    used = set(subgraph.readers()) | set(subgraph.producers()) | given
    for operator in subgraph.operators:
        used |= {int(index) for index in _indices(operator.intermediates)}
    _renumber(subgraph, sorted(used))
    model = subgraph.model
    live = {tensor.buffer for other in model.subgraphs for tensor in other.tensors}
    live |= {entry.buffer for entry in model.metadata or ()}
    for position, buffer in enumerate(model.buffers):
        if position not in live:
            buffer.data = None


def _renumber(subgraph: Subgraph, kept: list[int]) -> None:
    """Keep some tensors, in their order, and let everything point at their new places."""
    places = {-1: -1, **{index: place for place, index in enumerate(kept)}}

    def moved(indices: Iterable[int]) -> np.ndarray:
        return np.array([places[int(index)] for index in indices], np.int32)

    for operator in subgraph.operators:
        operator.inputs, operator.outputs = moved(operator.inputs), moved(operator.outputs)
        if operator.intermediates is not None:
            operator.intermediates = moved(operator.intermediates)
    table = subgraph.table
    table.inputs, table.outputs = moved(table.inputs), moved(table.outputs)
    table.tensors = [subgraph.tensor(index) for index in kept]
    for definition in subgraph.model.signatureDefs or ():
        if definition.subgraphIndex == 0:
            for entry in (*(definition.inputs or ()), *(definition.outputs or ())):
                entry.tensorIndex = places[int(entry.tensorIndex)]


def _indices(vector: Iterable[int] | None) -> Iterable[int]:
    return () if vector is None else vector
