"""Which weights sparse kernels pay for, by what they cost on a target.

FULLY_CONNECTED skips zeros itself where its weight is stored in one of LiteRT's three native
layouts. Whether that is faster than the dense kernel depends on the machine. Costs decide between
layouts, never what is computed.
"""

from collections.abc import Sequence

import numpy as np

from tfprune.export.encode import layouts
from tfprune.targets.costs import GAIN, Costs, KernelCosts

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
    weight: np.ndarray, costs: Costs, *, dynamic: bool = False, rows: Sequence[int] = (1,)
) -> layouts.Encoded | None:
    """The fastest native layout of a FULLY_CONNECTED weight.

    Args:
        weight: (outputs, inputs), float32 or int8.
        costs: What the kernels of the target cost.
        dynamic: Whether an int8 weight is multiplied by float32 inputs.
        rows: How many rows of inputs each operator multiplies by it.

    Returns:
        The encoded weight; None where none is faster than the dense kernel by a tenth.
    """
    return _fastest(weight, costs, dynamic, rows)[0]


def nanoseconds(
    weight: np.ndarray, costs: Costs, *, dynamic: bool = False, rows: int = 1
) -> float:
    """What the fastest kernel takes for a FULLY_CONNECTED weight.

    Args:
        weight: (outputs, inputs), float32 or int8.
        costs: What the kernels of the target cost.
        dynamic: Whether an int8 weight is multiplied by float32 inputs.
        rows: How many rows of inputs are multiplied at once.
    """
    return _fastest(weight, costs, dynamic, (rows,))[1]


def _fastest(
    weight: np.ndarray, costs: Costs, dynamic: bool, rows: Sequence[int]
) -> tuple[layouts.Encoded | None, float]:
    """The fastest native layout, None for the dense kernel, and its nanoseconds."""

    def taken(kernel: KernelCosts, stored: int) -> float:
        return sum(kernel.nanoseconds(stored, len(weight), each) for each in rows)

    block = _INT8_BLOCK if weight.dtype == np.int8 else 1
    fastest = None
    dense_ns = taken(costs.kernels(block, dynamic=dynamic)[0], weight.size)
    fastest_ns = GAIN * dense_ns
    for layout in native_layouts(weight):
        encoded = layouts.encode(weight, layout)
        _, kernel = costs.kernels(layout.block, dynamic=dynamic)
        if (sparse_ns := taken(kernel, encoded.values.size)) < fastest_ns:
            fastest, fastest_ns = encoded, sparse_ns
    return fastest, dense_ns if fastest is None else fastest_ns
