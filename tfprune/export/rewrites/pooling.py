"""Max-pools as depthwise convolutions and sums.

`max(a, b) = b + relu(a - b)`. The difference of two moved inputs is one depthwise convolution with
a 1 and a -1 per channel, so a pair of taps takes two convolutions and a sum; a tree of further
maxima joins the pairs. Equal to rounding: `b + (a - b)` may differ from a in the last place.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import invariance, shifts, tensors, windows

_NONE = schema.ActivationFunctionType.NONE
_RELU = schema.ActivationFunctionType.RELU


def offsets_of(window: windows.Window) -> tuple[shifts.Offset, ...]:
    """The offsets of the inputs that a pool compares."""
    rows, columns = window.axes
    return tuple(
        (y - rows.begin, x - columns.begin)
        for y in range(rows.kernel)
        for x in range(columns.kernel)
    )


def size_of(
    subgraph: Subgraph, window: windows.Window, producers: dict[int, Operator], activation: int
) -> int | None:
    """The depthwise kernel that a max-pool needs; None if it cannot be lowered.

    Args:
        subgraph: The subgraph.
        window: The pool's windows.
        producers: `subgraph.producers()`.
        activation: Its fused activation, of which there must be none.
    """
    rows, columns = window.axes
    inside = all(axis.begin <= 0 and axis.end <= 0 for axis in window.axes)
    several = rows.kernel * columns.kernel > 1
    zeros = inside or invariance.zeros_may_pad(subgraph, window, producers)
    if activation != _NONE or rows.stride != columns.stride or not (several and zeros):
        return None
    return shifts.shift_size(offsets_of(window), rows.stride, window.axes)


def lower(
    emitter: shifts.Emitter, window: windows.Window, size: int, output: int
) -> list[Operator]:
    """The operators to run in place of a max-pool."""
    offsets, stride = offsets_of(window), window.axes[0].stride
    pairs = list(zip(offsets[::2], offsets[1::2]))
    subgraph, made, values = emitter.subgraph, [], []
    for first, second in pairs:
        kernel = np.zeros((size, size, subgraph.shape(window.source)[3]), np.float32)
        kernel[size // 2 + first[0], size // 2 + first[1]] = 1
        kernel[size // 2 + second[0], size // 2 + second[1]] = -1
        difference, positive = emitter.depthwise(window.source, kernel, stride, _RELU)
        shift, moved = emitter.shift_all(window.source, second, stride, size)
        alone = len(offsets) == 2
        sizes = subgraph.shape(output)
        values.append(output if alone else tensors.like(subgraph, output, sizes, "pair"))
        made += [*difference, *shift, _add(subgraph, positive, moved, values[-1])]
    if len(offsets) % 2:
        shift, moved = emitter.shift_all(window.source, offsets[-1], stride, size)
        made += shift
        values.append(moved)
    while len(values) > 1:
        first_value, second_value, *values = values
        result = (
            tensors.like(subgraph, output, subgraph.shape(output), "maximum") if values else output
        )
        made += _maximum(subgraph, first_value, second_value, result)
        values.append(result)
    return made


def _maximum(subgraph: Subgraph, first: int, second: int, result: int) -> list[Operator]:
    sizes = subgraph.shape(result)
    negative = tensors.like(subgraph, result, sizes, "negative")
    positive = tensors.like(subgraph, result, sizes, "positive")
    return [
        subgraph.operator(OPERATORS.NEG, [second], [negative], schema.NegOptionsT()),
        _add(subgraph, first, negative, positive, _RELU),
        _add(subgraph, positive, second, result),
    ]


def _add(
    subgraph: Subgraph, first: int, second: int, result: int, activation: int = _NONE
) -> Operator:
    options = schema.AddOptionsT()
    options.fusedActivationFunction = activation
    return subgraph.operator(OPERATORS.ADD, [first, second], [result], options)
