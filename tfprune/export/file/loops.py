"""How often each subgraph of a .tflite model runs in one inference."""

import math

import numpy as np

from tfprune.export.file.subgraph import OPERATORS, Subgraph, subgraphs
from tfprune.export.file.tables import Model, Operator

_CALLED_SUBGRAPHS = (
    "bodySubgraphIndex",
    "condSubgraphIndex",
    "thenSubgraphIndex",
    "elseSubgraphIndex",
    "decompositionSubgraphIndex",
    "initSubgraphIndex",
    "subgraph",
)


def repeats(model: Model) -> tuple[list[int], tuple[str, ...]]:
    """How often each subgraph runs.

    The trip count of a loop is known where its condition compares a counter, which starts at a
    constant and grows by a constant, with a constant: recurrent layers over a fixed length.

    Args:
        model: The `ModelT`.

    Returns:
        One count per subgraph, and a sentence for what had to be assumed.

    Raises:
        ValueError: If subgraphs call each other in a circle.
    """
    parts = subgraphs(model)
    calls: dict[int, list[tuple[int, int]]] = {}
    unknown = branches = False
    for caller, subgraph in enumerate(parts):
        for operator in subgraph.operators or ():
            trips = 1
            if subgraph.code(operator) == OPERATORS.WHILE:
                found = _trip_count(parts, subgraph, operator)
                unknown |= found is None
                trips = 1 if found is None else found
            branches |= subgraph.code(operator) == OPERATORS.IF
            for callee in _callees(operator, len(parts)):
                calls.setdefault(callee, []).append((caller, trips))
    counts = [_count(index, calls, ()) for index in range(len(parts))]
    notes = []
    if unknown:
        notes.append("A loop of unknown length is counted as one step.")
    if branches:
        notes.append("Both branches of a condition are counted.")
    return counts, tuple(notes)


def _callees(operator: Operator, subgraph_count: int) -> set[int]:
    """The subgraphs that an operator runs."""
    found: set[int] = set()
    for options in (operator.builtinOptions, getattr(operator, "builtinOptions2", None)):
        indices = [getattr(options, name, None) for name in _CALLED_SUBGRAPHS]
        found |= {index for index in indices if isinstance(index, int)}
    return {index for index in found if 0 < index < subgraph_count}


def _count(index: int, calls: dict[int, list[tuple[int, int]]], above: tuple[int, ...]) -> int:
    """The runs of a subgraph: once if nothing calls it, else as its callers do."""
    if index in above:
        raise ValueError(f"graph {index} calls itself")
    if index not in calls:
        return 1
    return sum(_count(caller, calls, (*above, index)) * trips for caller, trips in calls[index])


def _trip_count(parts: list[Subgraph], outer: Subgraph, loop: Operator) -> int | None:
    options = loop.builtinOptions
    places = (getattr(options, "condSubgraphIndex", 0), getattr(options, "bodySubgraphIndex", 0))
    if not all(0 < place < len(parts) for place in places):
        return None
    condition, body = (parts[place] for place in places)
    if len(condition.outputs) != 1:
        return None
    comparisons = _comparisons(condition, condition.outputs[0])
    found = [_steps(comparison, condition, body, outer, loop) for comparison in comparisons]
    # All comparisons must hold, so the first to fail ends the loop.
    return min((steps for steps in found if steps is not None), default=None)


def _comparisons(condition: Subgraph, output: int) -> list[Operator]:
    """The LESS operators whose conjunction is the condition; none for any other condition."""
    producers = condition.producers()
    found, waiting = [], [output]
    while waiting:
        operator = producers.pop(waiting.pop(), None)
        if operator is None:
            return []
        code = condition.code(operator)
        if code == OPERATORS.LOGICAL_AND:
            waiting += [int(index) for index in operator.inputs]
        elif code == OPERATORS.LESS:
            found.append(operator)
        else:
            return []
    return found


def _steps(
    comparison: Operator, condition: Subgraph, body: Subgraph, outer: Subgraph, loop: Operator
) -> int | None:
    """The steps until `counter < limit` fails; None where a part of it is not constant."""
    counter, limit = (int(index) for index in comparison.inputs)
    arguments = {index: place for place, index in enumerate(condition.inputs)}
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


def _increment(body: Subgraph, place: int) -> float | None:
    """What one step adds to a loop variable, if that is a constant."""
    own, result = body.inputs[place], body.outputs[place]
    operator = body.producers().get(result)
    if operator is None or body.code(operator) != OPERATORS.ADD:
        return None
    others = [int(index) for index in operator.inputs if int(index) != own]
    return _scalar(body, others[0]) if len(others) == 1 else None


def _unchanged(body: Subgraph, place: int) -> bool:
    return body.inputs[place] == body.outputs[place]


def _scalar(subgraph: Subgraph, index: int) -> float | None:
    values = subgraph.constant(index)
    usable = values is not None and values.size == 1 and np.isfinite(values.astype(float)).all()
    return float(values.ravel()[0]) if values is not None and usable else None
