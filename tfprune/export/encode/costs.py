"""Which weights sparse kernels pay for, by what they cost on a target.

FULLY_CONNECTED skips zeros itself where its weight is stored in one of LiteRT's three native
layouts. Whether that is faster than the dense kernel depends on the machine. Costs decide between
layouts, never what is computed.
"""

import numpy as np

from tfprune.export.encode import layouts
from tfprune.targets.target import Costs

# The largest block index that the int8 kernels can read: they keep it in one byte.
_INT8_BLOCK = 16
_INT8_BLOCKS = 256
_FLOAT_BLOCK = 4


def native_layouts(weight: np.ndarray) -> list[layouts.Layout]:
    """The layouts in which FULLY_CONNECTED reads a weight.

    Args:
        weight: (outputs, inputs), float32 or int8.
    """
    inputs = weight.shape[1]
    if weight.dtype == np.int8:
        fits = inputs % _INT8_BLOCK == 0 and inputs // _INT8_BLOCK <= _INT8_BLOCKS
        return [layouts.Layout(1, block_axis=1, block=_INT8_BLOCK)] if fits else []
    rows = layouts.Layout(last=1)
    if inputs % _FLOAT_BLOCK:
        return [rows]
    return [rows, layouts.Layout(1, block_axis=1, block=_FLOAT_BLOCK)]


def fastest_native(
    weight: np.ndarray, costs: Costs, *, dynamic: bool = False
) -> layouts.Encoded | None:
    """The fastest native layout of a FULLY_CONNECTED weight.

    Args:
        weight: (outputs, inputs), float32 or int8.
        costs: What the kernels of the target cost.
        dynamic: Whether an int8 weight is multiplied by float32 inputs.

    Returns:
        The encoded weight; None where the dense kernel is faster still.
    """
    return _fastest(weight, costs, dynamic)[0]


def nanoseconds(weight: np.ndarray, costs: Costs, *, dynamic: bool = False) -> float:
    """What the fastest kernel takes for a FULLY_CONNECTED weight at batch 1.

    Args:
        weight: (outputs, inputs), float32 or int8.
        costs: What the kernels of the target cost.
        dynamic: Whether an int8 weight is multiplied by float32 inputs.
    """
    return _fastest(weight, costs, dynamic)[1]


def _fastest(
    weight: np.ndarray, costs: Costs, dynamic: bool
) -> tuple[layouts.Encoded | None, float]:
    """The fastest native layout, None for the dense kernel, and its nanoseconds."""
    integers = costs.dynamic if dynamic else costs.int8
    of_integers = weight.dtype == np.int8
    fastest = None
    fastest_ns = weight.size * (integers.dense if of_integers else costs.dense)
    for layout in native_layouts(weight):
        encoded = layouts.encode(weight, layout)
        value_ns = costs.rows if layout.block == 1 else costs.blocks
        taken = costs.call + value_ns * encoded.values.size
        if of_integers:
            taken = costs.call + integers.blocks * encoded.values.size
            taken += integers.output * len(weight)
        if taken < fastest_ns:
            fastest, fastest_ns = encoded, taken
    return fastest, fastest_ns
