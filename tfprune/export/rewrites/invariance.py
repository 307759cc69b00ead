"""Which operators give the rotated output for the rotated input.

An operator *commutes* with a rotation by 180 degrees if rotating its spatial inputs, and with them
its kernels, spatial constants and padding, rotates its output and changes nothing else. The tables
name the operators that do; whatever is in none of them does not.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import tensors, windows

_ELEMENTWISE = frozenset(
    {
        OPERATORS.ABS,
        OPERATORS.ADD,
        OPERATORS.CAST,
        OPERATORS.CEIL,
        OPERATORS.COS,
        OPERATORS.DIV,
        OPERATORS.ELU,
        OPERATORS.EXP,
        OPERATORS.FLOOR,
        OPERATORS.GELU,
        OPERATORS.HARD_SWISH,
        OPERATORS.LEAKY_RELU,
        OPERATORS.LOG,
        OPERATORS.LOGISTIC,
        OPERATORS.MAXIMUM,
        OPERATORS.MINIMUM,
        OPERATORS.MUL,
        OPERATORS.NEG,
        OPERATORS.POW,
        OPERATORS.PRELU,
        OPERATORS.RELU,
        OPERATORS.RELU6,
        OPERATORS.RELU_0_TO_1,
        OPERATORS.RELU_N1_TO_1,
        OPERATORS.ROUND,
        OPERATORS.RSQRT,
        OPERATORS.SIN,
        OPERATORS.SQRT,
        OPERATORS.SQUARE,
        OPERATORS.SQUARED_DIFFERENCE,
        OPERATORS.SUB,
        OPERATORS.TANH,
    }
)

# They work on the last axis, the channels, place by place.
_CHANNELWISE = frozenset(
    {
        OPERATORS.L2_NORMALIZATION,
        OPERATORS.LOCAL_RESPONSE_NORMALIZATION,
        OPERATORS.LOG_SOFTMAX,
        OPERATORS.SOFTMAX,
    }
)

_REDUCTIONS = frozenset(
    {
        OPERATORS.MEAN,
        OPERATORS.REDUCE_MAX,
        OPERATORS.REDUCE_MIN,
        OPERATORS.REDUCE_PROD,
        OPERATORS.SUM,
    }
)

_RELU_LIKE = (
    schema.ActivationFunctionType.RELU,
    schema.ActivationFunctionType.RELU6,
)


def commutes(subgraph: Subgraph, operator: Operator, producers: dict[int, Operator]) -> bool:
    """Whether an operator that reads a spatial tensor commutes with the rotation.

    Args:
        subgraph: The subgraph.
        operator: One of its operators.
        producers: `subgraph.producers()`.
    """
    code = subgraph.code(operator)
    if code in windows.CONVOLUTIONS:
        return True
    if code in windows.POOLS:
        return _pool_commutes(subgraph, operator, producers)
    if code in _CHANNELWISE or code == OPERATORS.SHAPE:
        return True
    if code in _ELEMENTWISE:
        return all(_is_aligned(subgraph, int(index)) for index in operator.inputs)
    if code in _REDUCTIONS:
        return _reduction_commutes(subgraph, operator)
    if code == OPERATORS.PAD:
        return windows.zeros_of(subgraph, operator) is not None
    if code == OPERATORS.CONCATENATION:
        spatial = all(tensors.is_spatial(subgraph, int(index)) for index in operator.inputs)
        return spatial and operator.builtinOptions.axis % 4 in (0, 3)
    return False


def rotated_constant(subgraph: Subgraph, index: int) -> np.ndarray | None:
    """The rotated values of a constant next to a spatial tensor; None if they are the same.

    Args:
        subgraph: The subgraph.
        index: A tensor whose last three axes, as far as it has them, are height, width, channels.
    """
    values = subgraph.constant(index)
    if values is None:
        return None
    axes = tuple(axis for axis in (-3, -2) if values.ndim >= -axis and values.shape[axis] > 1)
    return np.flip(values, axes) if axes else None


def is_nonnegative(subgraph: Subgraph, index: int, producers: dict[int, Operator]) -> bool:
    """Whether a tensor holds no negative value, as far as the operators before it tell."""
    producer = producers.get(index)
    if producer is None:
        return False
    code = subgraph.code(producer)
    if code in (OPERATORS.RELU, OPERATORS.RELU6, OPERATORS.LOGISTIC):
        return True
    if code in windows.POOLS or code == OPERATORS.PAD:
        return is_nonnegative(subgraph, int(producer.inputs[0]), producers)
    if code == OPERATORS.CONCATENATION:
        return all(is_nonnegative(subgraph, int(i), producers) for i in producer.inputs)
    options = producer.builtinOptions
    return getattr(options, "fusedActivationFunction", None) in _RELU_LIKE


def zeros_may_pad(
    subgraph: Subgraph, window: windows.Window, producers: dict[int, Operator]
) -> bool:
    """Whether a max-pool may read zeros where it pads, instead of nothing."""
    return not window.same or is_nonnegative(subgraph, window.source, producers)


def _pool_commutes(subgraph: Subgraph, operator: Operator, producers: dict[int, Operator]) -> bool:
    """Pools that leave no input out, and whose padding is even or may be zeros."""
    window = windows.read(subgraph, operator, producers)
    if any(axis.end < 0 for axis in window.axes):
        return False
    if all(axis.begin == axis.end for axis in window.axes):
        return True
    if subgraph.code(operator) == OPERATORS.AVERAGE_POOL_2D:
        return not window.same  # with SAME it divides by the inputs that are there
    return zeros_may_pad(subgraph, window, producers)


def _reduction_commutes(subgraph: Subgraph, operator: Operator) -> bool:
    """Reductions that keep the axes or take height and width together."""
    axes = subgraph.constant(int(operator.inputs[1]))
    if axes is None:
        return False
    reduced = {int(axis) % 4 for axis in axes.ravel()}
    return operator.builtinOptions.keepDims or {1, 2} <= reduced


def _is_aligned(subgraph: Subgraph, index: int) -> bool:
    """Whether the height and width of an operand are where rotation looks for them."""
    sizes = subgraph.shape(index)
    if len(sizes) == 4 or subgraph.constant(index) is not None and len(sizes) < 4:
        return True
    return len(sizes) < 4 and all(size == 1 for size in sizes[-3:-1])
