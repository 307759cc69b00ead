"""What sparse kernels cost on each target, and so which weights they pay for.

FULLY_CONNECTED skips zeros itself where its weight is stored in one of LiteRT's three native
layouts. Whether that is faster than the dense kernel depends on the machine. The costs below decide
between layouts, never what is computed.
"""

import dataclasses

import numpy as np

from tfprune.export.encode import layouts

# The largest block index that the int8 kernels can read: they keep it in one byte.
_INT8_BLOCK = 16
_INT8_BLOCKS = 256
_FLOAT_BLOCK = 4


@dataclasses.dataclass(frozen=True)
class Costs:
    """Nanoseconds of the FULLY_CONNECTED kernels at batch 1.

    Attributes:
        dense: float32, per weight.
        rows: Sparse float32 rows, per stored value.
        blocks: Sparse float32 1x4 blocks, per stored value.
        int8_dense: int8, per weight.
        int8_blocks: Sparse int8 1x16 blocks, per stored value.
        call: What a sparse kernel takes whatever the weight.
    """

    dense: float
    rows: float
    blocks: float
    int8_dense: float
    int8_blocks: float
    call: float = 500.0


# Measured on one x86-64 core with AVX-512 (LiteRT 2.3.0, layers of 128 to 1024 units) and, for
# WebAssembly, in Node on that core (LiteRT.js 2.5.3, relaxed SIMD). There, large float32 weights
# pay in blocks from 82 % zeros and in rows from 95 % (WebAssembly: 89 % and 93 %). ARM64 could not
# be measured; it takes the x86 costs, as does "auto". Smallest files take every native layout of
# int8 weights, since DENSIFY does not go with int8 arithmetic.
_X86 = Costs(dense=0.06, rows=1.06, blocks=0.33, int8_dense=0.02, int8_blocks=0.18)
_WASM = Costs(dense=0.135, rows=1.8, blocks=1.2, int8_dense=0.053, int8_blocks=0.8)
_BYTES = Costs(dense=0.0, rows=0.0, blocks=0.0, int8_dense=1.0, int8_blocks=1.0, call=0.0)
_COSTS = {"auto": _X86, "arm64": _X86, "x86": _X86, "wasm": _WASM, "size": _BYTES}


def fastest_native(weight: np.ndarray, target: str) -> layouts.Encoded | None:
    """The fastest native layout of a FULLY_CONNECTED weight.

    Args:
        weight: (outputs, inputs), float32 or int8.
        target: One of `tfprune.targets.structures.TARGETS`.

    Returns:
        The encoded weight; None where the dense kernel is faster still.
    """
    costs = _COSTS[target]
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
