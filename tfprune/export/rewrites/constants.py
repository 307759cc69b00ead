"""Constants of rank 4, as first operands, for sums and products of rank 4.

XNNPACK's sparse mode takes ADD and MUL only if both operands have four axes and no constant comes
second, and no SUB.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, TYPES, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import tensors


def apply(subgraph: Subgraph) -> tuple[str, ...]:
    """Put constants of ADD and MUL first, with rank 4, and make x - constant x + (-constant).

    Args:
        subgraph: The subgraph, changed in place.

    Returns:
        One sentence if anything changed.
    """
    changed = 0
    subgraph.rewrite(lambda operator: [_added(subgraph, operator)])
    for operator in subgraph.operators:
        if len(subgraph.shape(operator.outputs[0])) != 4:
            continue
        if subgraph.code(operator) in (OPERATORS.ADD, OPERATORS.MUL):
            widened = [_widen(subgraph, operator, int(index)) for index in operator.inputs]
            changed += any([*widened, _swap(subgraph, operator)])
    return (f"ADD and MUL whose constant came first with rank 4: {changed}.",) if changed else ()


def _swap(subgraph: Subgraph, operator: Operator) -> bool:
    """Put a constant before what is added to or multiplied by it, if it comes second."""
    first, second = (int(index) for index in operator.inputs)
    if subgraph.constant(second) is None or subgraph.constant(first) is not None:
        return False
    operator.inputs = np.array([second, first], np.int32)
    return True


def _widen(subgraph: Subgraph, operator: Operator, index: int) -> bool:
    """Give one operand rank 4 if it is a constant of a smaller rank."""
    values = subgraph.constant(index)
    if values is None or values.ndim >= 4:
        return False
    shape = (1,) * (4 - values.ndim) + values.shape
    made = subgraph.add_constant(
        values.reshape(shape), name=f"{tensors.short_name(subgraph, index)}/rank_4", like=index
    )
    subgraph.replace_input(operator, index, made)
    return True


def _added(subgraph: Subgraph, operator: Operator) -> Operator:
    """The ADD, which rounds the same, for a SUB of a float constant; any other operator itself."""
    if subgraph.code(operator) != OPERATORS.SUB or len(subgraph.shape(operator.outputs[0])) != 4:
        return operator
    index = int(operator.inputs[1])
    values = subgraph.constant(index)
    if values is None or subgraph.tensor(index).type != TYPES.FLOAT32:
        return operator
    name = f"{tensors.short_name(subgraph, index)}/negative"
    negative = subgraph.add_constant(np.negative(values), name=name)
    options = schema.AddOptionsT()
    options.fusedActivationFunction = operator.builtinOptions.fusedActivationFunction
    return subgraph.operator(
        OPERATORS.ADD, [operator.inputs[0], negative], operator.outputs, options
    )
