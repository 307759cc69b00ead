"""Lowering whole networks to the operators of XNNPACK's sparse mode.

The mode takes 1x1 convolutions, depthwise convolutions and sums between one first convolution and
the MEAN at the end, and one operator outside that turns it off for all; so either everything is
lowered or nothing. Lowered layers compute more than sparse ones need to and, without the sparse
kernels, much more than before: this is for runtimes known to have them.
"""

from collections.abc import Callable

from tfprune.export.file import flatbuffer
from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
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

_Lowering = Callable[[], list[Operator]]


class NotApplicable(Exception):
    """Which operator keeps the network out of the sparse mode, and why."""


def apply(subgraph: Subgraph) -> tuple[str, ...]:
    """Lower every convolution and pool that the sparse mode does not take as it is.

    Args:
        subgraph: The subgraph, changed in place unless an error is raised.

    Returns:
        One sentence if anything was lowered.

    Raises:
        NotApplicable: If an operator can neither be lowered nor stay.
    """
    producers = subgraph.producers()
    emitter = shifts.Emitter(subgraph)
    inside: set[int] = set()  # what the first convolution and those after it write
    lowered: dict[Operator, _Lowering] = {}
    for operator in subgraph.operators:
        code = subgraph.code(operator)
        behind = inside & set(map(int, operator.inputs))
        if code == OPERATORS.CONV_2D and not behind:
            lowering = _first(subgraph, emitter, operator, producers)
        elif not any(tensors.is_spatial(subgraph, index) for index in behind):
            continue
        else:
            lowering = _following(subgraph, emitter, operator, producers)
        if lowering is not None:
            lowered[operator] = lowering
        inside |= set(map(int, operator.outputs))
    for index in subgraph.outputs:
        if index in inside and tensors.is_spatial(subgraph, index):
            name = tensors.short_name(subgraph, index)
            raise NotApplicable(f"the output {name!r} has height and width")
    if not lowered:
        return ()
    subgraph.rewrite(lambda operator: lowered.get(operator, lambda: [operator])())
    return (f"Layers lowered to 1x1 convolutions and shifts: {len(lowered)}.",)


def _first(
    subgraph: Subgraph, emitter: shifts.Emitter, operator: Operator, producers: dict[int, Operator]
) -> _Lowering | None:
    """How to lower a convolution of the image; None if it may stay."""
    window = windows.read(subgraph, operator, producers)
    if stem.is_entry(subgraph, operator, window):
        return None
    taps = shifts.taps_of(subgraph, operator, window)
    size = None if taps is None else stem.size_on_squares(taps, window)
    if taps is None or size is None:
        raise NotApplicable(
            f"{_describe(subgraph, operator)} is the first convolution and has not stride 2 and "
            "three channels of even height and width"
        )
    return lambda: stem.lower(emitter, operator, window, taps, size)


def _following(
    subgraph: Subgraph, emitter: shifts.Emitter, operator: Operator, producers: dict[int, Operator]
) -> _Lowering | None:
    """How to lower an operator after the first convolution; None if it may stay."""
    code = subgraph.code(operator)
    if code == OPERATORS.CONV_2D:
        return _convolution(subgraph, emitter, operator, producers)
    if code == OPERATORS.MAX_POOL_2D:
        return _pool(subgraph, emitter, operator, producers)
    if code == OPERATORS.DEPTHWISE_CONV_2D:
        taken = _depthwise_is_taken(subgraph, operator, producers)
    elif code == OPERATORS.MEAN:
        axes = subgraph.constant(int(operator.inputs[1]))
        taken = axes is not None and {int(axis) % 4 for axis in axes.ravel()} == {1, 2}
    else:
        taken = code in _TAKEN
    if not taken:
        raise NotApplicable(f"{_describe(subgraph, operator)} has no sparse or lowered form")
    return None


def _convolution(
    subgraph: Subgraph, emitter: shifts.Emitter, operator: Operator, producers: dict[int, Operator]
) -> _Lowering | None:
    window = windows.read(subgraph, operator, producers)
    taps = shifts.taps_of(subgraph, operator, window)
    if taps is not None and subgraph.shape(operator.inputs[1])[1:3] == (1, 1) and taps.stride == 1:
        return None
    size = None if taps is None else shifts.shift_size(taps.offsets, taps.stride, window.axes)
    if taps is None or size is None:
        raise NotApplicable(
            f"{_describe(subgraph, operator)} is no sum of shifts by up to 2 places with stride 1 "
            "or 2"
        )
    if len(taps.offsets) > 1 and taps.sparsity <= _MIN_SPARSITY:
        raise NotApplicable(
            f"{_describe(subgraph, operator)} has {taps.sparsity:.0%} zeros, which must be more "
            "than two thirds"
        )
    bias = int(operator.inputs[2]) if len(operator.inputs) > 2 else -1
    activation, output = operator.builtinOptions.fusedActivationFunction, int(operator.outputs[0])
    return lambda: emitter.convolution(window.source, taps, size, bias, activation, output)


def _pool(
    subgraph: Subgraph, emitter: shifts.Emitter, operator: Operator, producers: dict[int, Operator]
) -> _Lowering:
    window = windows.read(subgraph, operator, producers)
    activation = operator.builtinOptions.fusedActivationFunction
    size = pooling.size_of(subgraph, window, producers, activation)
    if size is None:
        raise NotApplicable(
            f"{_describe(subgraph, operator)} is no maximum of shifts, or may pad negative inputs"
        )
    return lambda: pooling.lower(emitter, window, size, int(operator.outputs[0]))


def _depthwise_is_taken(
    subgraph: Subgraph, operator: Operator, producers: dict[int, Operator]
) -> bool:
    """Whether the sparse mode has a depthwise convolution, with padding on all sides alike."""
    window = windows.read(subgraph, operator, producers)
    rows, columns = window.axes
    return (
        window.symmetric
        and operator.builtinOptions.depthMultiplier == 1
        and rows.stride == columns.stride
        and rows.stride in (1, 2)
        and subgraph.shape(operator.inputs[1])[1:3] in ((3, 3), (5, 5))
        and rows.kernel == subgraph.shape(operator.inputs[1])[1]
    )


def _describe(subgraph: Subgraph, operator: Operator) -> str:
    return tensors.describe(subgraph, operator, flatbuffer.OPERATOR_NAMES[subgraph.code(operator)])
