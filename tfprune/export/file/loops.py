"""How often each graph of a .tflite model runs in one inference."""

import math
from typing import Any

import numpy as np

from tfprune.export.file.graph import OPERATORS, Graph, graphs

_CALLED_GRAPHS = (
    "bodySubgraphIndex",
    "condSubgraphIndex",
    "thenSubgraphIndex",
    "elseSubgraphIndex",
    "decompositionSubgraphIndex",
    "initSubgraphIndex",
    "subgraph",
)


def repeats(model: Any) -> tuple[list[int], tuple[str, ...]]:
    """How often each graph runs.

    The trip count of a loop is known where its condition compares a counter, which starts at a
    constant and grows by a constant, with a constant: recurrent layers over a fixed length.

    Args:
        model: The `ModelT`.

    Returns:
        One count per graph, and a sentence for what had to be assumed.

    Raises:
        ValueError: If graphs call each other in a circle.
    """
    parts = graphs(model)
    calls: dict[int, list[tuple[int, int]]] = {}
    unknown = branches = False
    for caller, graph in enumerate(parts):
        for operator in graph.operators or ():
            trips = 1
            if graph.code(operator) == OPERATORS.WHILE:
                found = _trip_count(parts, graph, operator)
                unknown |= found is None
                trips = 1 if found is None else found
            branches |= graph.code(operator) == OPERATORS.IF
            for callee in _callees(operator, len(parts)):
                calls.setdefault(callee, []).append((caller, trips))
    counts = [_count(index, calls, ()) for index in range(len(parts))]
    notes = []
    if unknown:
        notes.append("A loop of unknown length is counted as one step.")
    if branches:
        notes.append("Both branches of a condition are counted.")
    return counts, tuple(notes)


def _callees(operator: Any, graph_count: int) -> set[int]:
    """The graphs that an operator runs."""
    found: set[int] = set()
    for options in (operator.builtinOptions, getattr(operator, "builtinOptions2", None)):
        indices = [getattr(options, name, None) for name in _CALLED_GRAPHS]
        found |= {index for index in indices if isinstance(index, int)}
    return {index for index in found if 0 < index < graph_count}


def _count(index: int, calls: dict[int, list[tuple[int, int]]], above: tuple[int, ...]) -> int:
    """The runs of a graph: once if nothing calls it, else as its callers do."""
    if index in above:
        raise ValueError(f"graph {index} calls itself")
    if index not in calls:
        return 1
    return sum(_count(caller, calls, (*above, index)) * trips for caller, trips in calls[index])


def _trip_count(parts: list[Graph], outer: Graph, loop: Any) -> int | None:
    options = loop.builtinOptions
    places = (getattr(options, "condSubgraphIndex", 0), getattr(options, "bodySubgraphIndex", 0))
    if not all(0 < place < len(parts) for place in places):
        return None
    condition, body = (parts[place] for place in places)
    if condition.graph.outputs is None or len(condition.graph.outputs) != 1:
        return None
    comparisons = _comparisons(condition, int(condition.graph.outputs[0]))
    found = [_steps(comparison, condition, body, outer, loop) for comparison in comparisons]
    # All comparisons must hold, so the first to fail ends the loop.
    return min((steps for steps in found if steps is not None), default=None)


def _comparisons(condition: Graph, output: int) -> list[Any]:
    """The LESS operators whose conjunction is the condition; none for any other condition."""
    producers = condition.producers()
    found, waiting = [], [output]
    while waiting:
        operator = producers.pop(waiting.pop(), None)
        code = None if operator is None else condition.code(operator)
        if code == OPERATORS.LOGICAL_AND:
            waiting += [int(index) for index in operator.inputs]
        elif code == OPERATORS.LESS:
            found.append(operator)
        else:
            return []
    return found


def _steps(comparison: Any, condition: Graph, body: Graph, outer: Graph, loop: Any) -> int | None:
    """The steps until `counter < limit` fails; None where a part of it is not constant."""
    counter, limit = (int(index) for index in comparison.inputs)
    arguments = _places(condition.graph.inputs)
    if counter not in arguments:
        return None
    place = arguments[counter]
    end = _scalar(condition, limit)
    if end is None and limit in arguments and _unchanged(body, arguments[limit]):
        end = _scalar(outer, int(loop.inputs[arguments[limit]]))
    begin = _scalar(outer, int(loop.inputs[place]))
    step = _increment(body, place)
    if end is None or begin is None or step is None or step <= 0:
        return None
    return max(0, math.ceil((end - begin) / step))


def _increment(body: Graph, place: int) -> float | None:
    """What one step adds to a loop variable, if that is a constant."""
    own, result = int(body.graph.inputs[place]), int(body.graph.outputs[place])
    operator = body.producers().get(result)
    if operator is None or body.code(operator) != OPERATORS.ADD:
        return None
    others = [int(index) for index in operator.inputs if int(index) != own]
    return _scalar(body, others[0]) if len(others) == 1 else None


def _unchanged(body: Graph, place: int) -> bool:
    return bool(body.graph.inputs[place] == body.graph.outputs[place])


def _scalar(graph: Graph, index: int) -> float | None:
    values = graph.constant(index)
    usable = values is not None and values.size == 1 and np.isfinite(values.astype(float)).all()
    return float(values.ravel()[0]) if values is not None and usable else None


def _places(indices: Any) -> dict[int, int]:
    """Tensor index -> its place among a graph's inputs."""
    return {int(index): place for place, index in enumerate(() if indices is None else indices)}
