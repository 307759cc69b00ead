"""Classifier heads on two axes.

`MEAN(keepdims) -> 1x1 CONV_2D` is how converters write a classifier that keeps four axes. XNNPACK's
sparse mode, which ends at the MEAN, would take such a convolution in and fail on it; as
`MEAN -> FULLY_CONNECTED` it is left outside. Squeeze-and-excite blocks, whose result meets the
image again, are left alone: there the convolutions belong inside.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import tensors

_UNARY = frozenset(
    {
        OPERATORS.ELU,
        OPERATORS.GELU,
        OPERATORS.HARD_SWISH,
        OPERATORS.LEAKY_RELU,
        OPERATORS.LOGISTIC,
        OPERATORS.RELU,
        OPERATORS.RELU6,
        OPERATORS.RELU_N1_TO_1,
        OPERATORS.SOFTMAX,
        OPERATORS.TANH,
    }
)
_BINARY = frozenset({OPERATORS.ADD, OPERATORS.MUL, OPERATORS.SUB})


def apply(subgraph: Subgraph) -> tuple[str, ...]:
    """Give what follows a global mean two axes where there is a 1x1 convolution in it.

    Args:
        subgraph: The subgraph, changed in place.

    Returns:
        One sentence if there was any.
    """
    heads = [head for mean in subgraph.operators if (head := _head(subgraph, mean)) is not None]
    dense = [op for head in heads for op in head if subgraph.code(op) == OPERATORS.CONV_2D]
    if not dense:
        return ()
    _flatten(subgraph, [operator for head in heads for operator in head])
    return (f"1x1 convolutions of the head that became FULLY_CONNECTED: {len(dense)}.",)


def _head(subgraph: Subgraph, mean: Operator) -> list[Operator] | None:
    """A global mean and what of the operators after it needs no height and width.

    None for other operators, for a mean with no convolution to change, and for one whose result
    meets a spatial tensor again.
    """
    if not _is_global_mean(subgraph, mean):
        return None
    head, reached = [mean], {int(mean.outputs[0])}
    for operator in subgraph.operators:
        read = [int(index) for index in operator.inputs if index >= 0]
        if operator is mean or not reached & set(read):
            continue
        if any(tensors.is_spatial(subgraph, index) for index in read):
            return None
        if not _is_flattenable(subgraph, operator, reached):
            # What it writes may still meet the image, through operators that are not known here.
            if len(subgraph.shape(operator.outputs[0])) == 4:
                return None
            continue
        head.append(operator)
        reached.add(int(operator.outputs[0]))
    found = any(subgraph.code(operator) == OPERATORS.CONV_2D for operator in head)
    return head if found else None


def _is_global_mean(subgraph: Subgraph, operator: Operator) -> bool:
    """Whether an operator averages height and width away and keeps their axes."""
    if subgraph.code(operator) != OPERATORS.MEAN or not operator.builtinOptions.keepDims:
        return False
    axes = subgraph.constant(int(operator.inputs[1]))
    four = len(subgraph.shape(operator.inputs[0])) == 4
    return four and axes is not None and {int(axis) % 4 for axis in axes.ravel()} == {1, 2}


def _is_flattenable(subgraph: Subgraph, operator: Operator, reached: set[int]) -> bool:
    """Whether an operator does the same on (batch, channels) as on (batch, 1, 1, channels)."""
    code = subgraph.code(operator)
    if code in _UNARY:
        return True
    if code in _BINARY:
        return all(
            int(index) in reached or _is_vector(subgraph.constant(int(index)))
            for index in operator.inputs
        )
    if code != OPERATORS.CONV_2D or int(operator.inputs[0]) not in reached:
        return False
    kernel = subgraph.shape(operator.inputs[1])
    channels = subgraph.shape(operator.inputs[0])[3]
    one = subgraph.shape(operator.outputs[0])[1:3] == (1, 1)
    return kernel[1:] == (1, 1, channels) and one


def _is_vector(values: np.ndarray | None) -> bool:
    """Whether a constant has values along the channels only."""
    return values is not None and values.size == (values.shape[-1] if values.ndim else 1)


def _flatten(subgraph: Subgraph, head: list[Operator]) -> None:
    """Let operators work on two axes, and others read the four that they know."""
    flat: dict[int, int] = {}
    for operator in head:
        index = int(operator.outputs[0])
        batch, _, _, channels = subgraph.shape(index)
        flat[index] = tensors.like(subgraph, index, (batch, channels), "flat")
    members = set(head)
    kept = set(subgraph.outputs)
    for operator in subgraph.operators:
        if operator not in members:
            kept |= {
                int(index)
                for index in operator.inputs
                # RESHAPE does not look at the axes that it reads
                if subgraph.code(operator) != OPERATORS.RESHAPE or index != operator.inputs[0]
            }

    def rule(operator: Operator) -> list[Operator]:
        for index in map(int, operator.inputs):
            reshape = subgraph.code(operator) == OPERATORS.RESHAPE and index not in kept
            if index in flat and (operator in members or reshape):
                subgraph.replace_input(operator, index, flat[index])
        if operator not in members:
            return [operator]
        index = int(operator.outputs[0])
        made = _flattened(subgraph, operator)
        made.outputs = np.array([flat[index]], np.int32)
        if index not in kept:
            return [made]
        return [made, tensors.reshape(subgraph, flat[index], index)]

    subgraph.rewrite(rule)


def _flattened(subgraph: Subgraph, operator: Operator) -> Operator:
    """The operator for two axes; its inputs and outputs are exchanged elsewhere."""
    code = subgraph.code(operator)
    if code == OPERATORS.MEAN:
        operator.builtinOptions.keepDims = False
        return operator
    if code == OPERATORS.CONV_2D:
        return _fully_connected(subgraph, operator)
    for index in map(int, operator.inputs):
        values = subgraph.constant(index)
        if values is not None and values.ndim > 1:
            name = f"{tensors.short_name(subgraph, index)}/flat"
            made = subgraph.add_constant(values.reshape(values.shape[-1:]), name=name, like=index)
            subgraph.replace_input(operator, index, made)
    return operator


def _fully_connected(subgraph: Subgraph, operator: Operator) -> Operator:
    """The same matrix product as a FULLY_CONNECTED, which sums like a 1x1 convolution."""
    index = int(operator.inputs[1])
    kernel = subgraph.values(index)
    name = f"{tensors.short_name(subgraph, index)}/flat"
    weights = subgraph.add_constant(kernel.reshape(kernel.shape[0], -1), name=name, like=index)
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction = operator.builtinOptions.fusedActivationFunction
    inputs = [operator.inputs[0], weights, *operator.inputs[2:]]
    return subgraph.operator(OPERATORS.FULLY_CONNECTED, inputs, operator.outputs, options)
