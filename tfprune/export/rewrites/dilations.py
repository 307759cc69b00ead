"""Dilated convolutions along one axis that the converter left as three operators.

SPACE_TO_BATCH_ND -> convolution -> BATCH_TO_SPACE_ND is what it writes where two convolutions read
the same steps. One convolution with a dilation computes the same sums.
"""

import copy

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import tensors, windows


def apply(subgraph: Subgraph) -> tuple[str, ...]:
    """Write each of them as one convolution.

    Args:
        subgraph: The subgraph, changed in place.

    Returns:
        One sentence if there was any.
    """
    producers, readers = subgraph.producers(), subgraph.readers()
    made: dict[Operator, list[Operator]] = {}
    for operator in subgraph.operators:
        if subgraph.code(operator) in windows.CONVOLUTIONS:
            first = _through_reshapes(subgraph, producers, int(operator.inputs[0]))
            last = _only_reader(subgraph, readers, int(operator.outputs[0]))
            if first is not None and last is not None:
                written = _dilated(subgraph, operator, first, last)
                made |= {} if written is None else {last: written}
    if not made:
        return ()
    subgraph.rewrite(lambda operator: made.get(operator, [operator]))
    _drop_unread(subgraph)
    return (f"Convolutions of a batch of every n-th step that became dilated ones: {len(made)}.",)


def _through_reshapes(
    subgraph: Subgraph, producers: dict[int, Operator], index: int
) -> Operator | None:
    """The SPACE_TO_BATCH_ND of which a tensor comes."""
    operator = producers.get(index)
    while operator is not None and subgraph.code(operator) in tensors.RENAMING:
        operator = producers.get(int(operator.inputs[0]))
    if operator is None or subgraph.code(operator) != OPERATORS.SPACE_TO_BATCH_ND:
        return None
    return operator


def _only_reader(
    subgraph: Subgraph, readers: dict[int, list[Operator]], index: int
) -> Operator | None:
    """The BATCH_TO_SPACE_ND that alone reads a tensor."""
    while True:
        reading = readers.get(index, [])
        if len(reading) != 1 or index in subgraph.outputs:
            return None
        if subgraph.code(reading[0]) == OPERATORS.BATCH_TO_SPACE_ND:
            return reading[0]
        if subgraph.code(reading[0]) not in tensors.RENAMING:
            return None
        index = int(reading[0].outputs[0])


def _dilated(
    subgraph: Subgraph, operator: Operator, first: Operator, last: Operator
) -> list[Operator] | None:
    """One convolution for three operators; None if it is another."""
    source, output, options = int(first.inputs[0]), int(last.outputs[0]), operator.builtinOptions
    numbers = [subgraph.constant(int(i)) for i in (*first.inputs[1:], *last.inputs[1:])]
    shapes = [subgraph.shape(index) for index in (source, output, operator.inputs[0])]
    if any(each is None for each in numbers) or any(len(each) != 3 for each in shapes[:2]):
        return None
    rate, pads, same_rate, crops = (np.ravel(each).tolist() for each in numbers if each is not None)
    if len(rate) != 1 or rate != same_rate or crops[0] or pads[1] < crops[1]:
        return None
    row = shapes[2][1] == subgraph.shape(operator.inputs[1])[1] == 1
    strides = (options.strideH, options.strideW, options.dilationWFactor)
    if not row or strides != (1, 1, 1) or options.padding != schema.Padding.VALID:
        return None
    batch, steps, channels = shapes[0]
    index = tensors.like(subgraph, source, (batch, 1, steps, channels), "row")
    made = [tensors.reshape(subgraph, source, index)]
    if pads[0] or pads[1] > crops[1]:
        pad, index = windows.pad_operator(subgraph, index, ((0, 0), (pads[0], pads[1] - crops[1])))
        made.append(pad)
    batch, steps, channels = shapes[1]
    result = tensors.like(subgraph, output, (batch, 1, steps, channels), "row")
    convolution = copy.deepcopy(operator)
    convolution.builtinOptions.dilationWFactor = rate[0]
    convolution.inputs = np.array([index, *operator.inputs[1:]], np.int32)
    convolution.outputs = np.array([result], np.int32)
    return [*made, convolution, tensors.reshape(subgraph, result, output)]


def _drop_unread(subgraph: Subgraph) -> None:
    """Leave out operators whose results nothing needs."""
    needed, kept = set(subgraph.outputs), []
    for operator in reversed(subgraph.operators):
        if needed & set(map(int, operator.outputs)):
            needed |= set(map(int, operator.inputs))
            kept.append(operator)
    subgraph.table.operators = kept[::-1]
