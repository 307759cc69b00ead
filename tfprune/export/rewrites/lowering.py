"""Lowering whole networks to the operators of XNNPACK's sparse mode.

The mode takes 1x1 convolutions, depthwise convolutions and sums between one first convolution and
the MEAN at the end, and one operator outside that turns it off for all; so either everything is
lowered or nothing. Lowered layers compute more than sparse ones need to and, without the sparse
kernels, much more than before: this is for runtimes known to have them.
"""

from collections.abc import Callable
from typing import Any

from tfprune.export.file import flatbuffer
from tfprune.export.file.graph import OPERATORS, Graph
from tfprune.export.rewrites import pooling, shifts, stem, tensors, windows

_MIN_SPARSITY = 2 / 3  # XNNPACK's own limit; must be exceeded

# What the sparse mode runs as it is, on spatial tensors.
_TAKEN = frozenset(
    {
        OPERATORS.ABS,
        OPERATORS.ADD,
        OPERATORS.CEIL,
        OPERATORS.ELU,
        OPERATORS.FLOOR,
        OPERATORS.HARD_SWISH,
        OPERATORS.LEAKY_RELU,
        OPERATORS.LOGISTIC,
        OPERATORS.MEAN,
        OPERATORS.MUL,
        OPERATORS.NEG,
        OPERATORS.PAD,
        OPERATORS.RELU,
        OPERATORS.RELU6,
        OPERATORS.RELU_N1_TO_1,
        OPERATORS.ROUND,
        OPERATORS.SQUARE,
        OPERATORS.TANH,
    }
)

_Lowering = Callable[[], list[Any]]


class NotApplicable(Exception):
    """Which operator keeps the network out of the sparse mode, and why."""


def apply(graph: Graph) -> tuple[str, ...]:
    """Lower every convolution and pool that the sparse mode does not take as it is.

    Args:
        graph: The graph, changed in place unless an error is raised.

    Returns:
        One sentence if anything was lowered.

    Raises:
        NotApplicable: If an operator can neither be lowered nor stay.
    """
    producers = graph.producers()
    emitter = shifts.Emitter(graph)
    inside: set[int] = set()  # what the first convolution and those after it write
    lowered: dict[int, _Lowering] = {}
    for operator in graph.operators:
        code = graph.code(operator)
        behind = inside & set(map(int, operator.inputs))
        if code == OPERATORS.CONV_2D and not behind:
            lowering = _first(graph, emitter, operator, producers)
        elif not any(tensors.is_spatial(graph, index) for index in behind):
            continue
        else:
            lowering = _following(graph, emitter, operator, producers)
        if lowering is not None:
            lowered[id(operator)] = lowering
        inside |= set(map(int, operator.outputs))
    for index in map(int, graph.graph.outputs):
        if index in inside and tensors.is_spatial(graph, index):
            name = tensors.short_name(graph, index)
            raise NotApplicable(f"the output {name!r} has height and width")
    if not lowered:
        return ()
    graph.rewrite(lambda operator: lowered.get(id(operator), lambda: [operator])())
    return (f"Layers lowered to 1x1 convolutions and shifts: {len(lowered)}.",)


def _first(
    graph: Graph, emitter: shifts.Emitter, operator: Any, producers: dict[int, Any]
) -> _Lowering | None:
    """How to lower a convolution of the image; None if it may stay."""
    window = windows.read(graph, operator, producers)
    if stem.is_entry(graph, operator, window):
        return None
    taps = shifts.taps_of(graph, operator, window)
    size = None if taps is None else stem.size_on_squares(taps, window)
    if taps is None or size is None:
        raise NotApplicable(
            f"{_describe(graph, operator)} is the first convolution and has not stride 2 and three "
            "channels of even height and width"
        )
    return lambda: stem.lower(emitter, operator, window, taps, size)


def _following(
    graph: Graph, emitter: shifts.Emitter, operator: Any, producers: dict[int, Any]
) -> _Lowering | None:
    """How to lower an operator after the first convolution; None if it may stay."""
    code = graph.code(operator)
    if code == OPERATORS.CONV_2D:
        return _convolution(graph, emitter, operator, producers)
    if code == OPERATORS.MAX_POOL_2D:
        return _pool(graph, emitter, operator, producers)
    if code == OPERATORS.DEPTHWISE_CONV_2D:
        taken = _depthwise_is_taken(graph, operator, producers)
    elif code == OPERATORS.MEAN:
        axes: Any = graph.constant(int(operator.inputs[1]))
        taken = axes is not None and {int(axis) % 4 for axis in axes.ravel()} == {1, 2}
    else:
        taken = code in _TAKEN
    if not taken:
        raise NotApplicable(f"{_describe(graph, operator)} has no sparse or lowered form")
    return None


def _convolution(
    graph: Graph, emitter: shifts.Emitter, operator: Any, producers: dict[int, Any]
) -> _Lowering | None:
    window = windows.read(graph, operator, producers)
    taps = shifts.taps_of(graph, operator, window)
    if taps is not None and graph.shape(operator.inputs[1])[1:3] == (1, 1) and taps.stride == 1:
        return None
    size = None if taps is None else shifts.shift_size(taps.offsets, taps.stride, window.axes)
    if taps is None or size is None:
        raise NotApplicable(
            f"{_describe(graph, operator)} is no sum of shifts by up to 2 places with stride 1 or 2"
        )
    if len(taps.offsets) > 1 and taps.sparsity <= _MIN_SPARSITY:
        raise NotApplicable(
            f"{_describe(graph, operator)} has {taps.sparsity:.0%} zeros, which must be more than "
            "two thirds"
        )
    bias = int(operator.inputs[2]) if len(operator.inputs) > 2 else -1
    activation, output = operator.builtinOptions.fusedActivationFunction, int(operator.outputs[0])
    return lambda: emitter.convolution(window.source, taps, size, bias, activation, output)


def _pool(
    graph: Graph, emitter: shifts.Emitter, operator: Any, producers: dict[int, Any]
) -> _Lowering:
    window = windows.read(graph, operator, producers)
    activation = operator.builtinOptions.fusedActivationFunction
    size = pooling.size_of(graph, window, producers, activation)
    if size is None:
        raise NotApplicable(
            f"{_describe(graph, operator)} is no maximum of shifts, or may pad negative inputs"
        )
    return lambda: pooling.lower(emitter, window, size, int(operator.outputs[0]))


def _depthwise_is_taken(graph: Graph, operator: Any, producers: dict[int, Any]) -> bool:
    """Whether the sparse mode has a depthwise convolution, with padding on all sides alike."""
    window = windows.read(graph, operator, producers)
    rows, columns = window.axes
    return (
        window.symmetric
        and operator.builtinOptions.depthMultiplier == 1
        and rows.stride == columns.stride
        and rows.stride in (1, 2)
        and graph.shape(operator.inputs[1])[1:3] in ((3, 3), (5, 5))
        and rows.kernel == graph.shape(operator.inputs[1])[1]
    )


def _describe(graph: Graph, operator: Any) -> str:
    return tensors.describe(graph, operator, flatbuffer.OPERATOR_NAMES[graph.code(operator)])
