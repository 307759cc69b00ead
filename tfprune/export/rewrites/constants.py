"""Constants of rank 4, as first operands, for sums and products of rank 4.

XNNPACK's sparse mode takes ADD and MUL only if both operands have four axes and no constant comes
second, and no SUB.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.graph import OPERATORS, TYPES, Graph
from tfprune.export.rewrites import tensors


def apply(graph: Graph) -> tuple[str, ...]:
    """Put constants of ADD and MUL first, with rank 4, and make x - constant x + (-constant).

    Args:
        graph: The graph, changed in place.

    Returns:
        One sentence if anything changed.
    """
    changed = 0
    for operator in graph.operators:
        if len(graph.shape(operator.outputs[0])) != 4:
            continue
        if graph.code(operator) == OPERATORS.SUB:
            _add_the_negative(graph, operator)
        if graph.code(operator) in (OPERATORS.ADD, OPERATORS.MUL):
            widened = [_widen(graph, operator, int(index)) for index in operator.inputs]
            changed += any([*widened, _swap(graph, operator)])
    return (f"ADD and MUL whose constant came first with rank 4: {changed}.",) if changed else ()


def _swap(graph: Graph, operator: Any) -> bool:
    """Put a constant before what is added to or multiplied by it, if it comes second."""
    first, second = (int(index) for index in operator.inputs)
    if graph.constant(second) is None or graph.constant(first) is not None:
        return False
    operator.inputs = np.array([second, first], np.int32)
    return True


def _widen(graph: Graph, operator: Any, index: int) -> bool:
    """Give one operand rank 4 if it is a constant of a smaller rank."""
    values = graph.constant(index)
    if values is None or values.ndim >= 4:
        return False
    shape = (1,) * (4 - values.ndim) + values.shape
    made = graph.add_constant(
        values.reshape(shape), name=f"{tensors.short_name(graph, index)}/rank_4", like=index
    )
    graph.replace_input(operator, index, made)
    return True


def _add_the_negative(graph: Graph, operator: Any) -> None:
    """Make a SUB of a float constant an ADD, which rounds the same."""
    index = int(operator.inputs[1])
    values = graph.constant(index)
    if values is None or graph.tensor(index).type != TYPES.FLOAT32:
        return
    name = f"{tensors.short_name(graph, index)}/negative"
    negative = graph.add_constant(np.negative(values), name=name)
    options = schema.AddOptionsT()
    options.fusedActivationFunction = operator.builtinOptions.fusedActivationFunction
    made = graph.operator(OPERATORS.ADD, [operator.inputs[0], negative], operator.outputs, options)
    vars(operator).update(vars(made))
