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


def fastest_native(weight: np.ndarray, costs: Costs) -> layouts.Encoded | None:
    """The fastest native layout of a FULLY_CONNECTED weight.

    Args:
        weight: (outputs, inputs), float32 or int8.
        costs: What the kernels of the target cost.

    Returns:
        The encoded weight; None where the dense kernel is faster still.
    """
    if weight.dtype == np.int8:
        dense, choices = costs.int8_dense, _int8_layouts(weight.shape, costs)
    else:
        dense, choices = costs.dense, _float_layouts(weight.shape, costs)
    fastest, fastest_ns = None, weight.size * dense
    for value_ns, layout in choices:
        encoded = layouts.encode(weight, layout)
        nanoseconds = costs.call + value_ns * encoded.values.size
        if nanoseconds < fastest_ns:
            fastest, fastest_ns = encoded, nanoseconds
    return fastest


def _float_layouts(shape: tuple[int, ...], costs: Costs) -> list[tuple[float, layouts.Layout]]:
    choices = [(costs.rows, layouts.Layout(last=1))]
    if shape[1] % _FLOAT_BLOCK == 0:
        choices.append((costs.blocks, layouts.Layout(1, block_axis=1, block=_FLOAT_BLOCK)))
    return choices


def _int8_layouts(shape: tuple[int, ...], costs: Costs) -> list[tuple[float, layouts.Layout]]:
    if shape[1] % _INT8_BLOCK or shape[1] // _INT8_BLOCK > _INT8_BLOCKS:
        return []
    return [(costs.int8_blocks, layouts.Layout(1, block_axis=1, block=_INT8_BLOCK))]
