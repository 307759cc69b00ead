"""Why a fully connected weight is not on a sparse kernel: whether that would pay."""

import numpy as np

from tfprune.targets.target import Costs

_FLOAT_BLOCK, _INT8_BLOCK = 4, 16

TOO_SMALL = "it is too small for a sparse kernel to pay"


def reason(nonzero: np.ndarray, costs: Costs, *, integers: bool) -> str:
    """What speaks against the sparse kernels of a weight on a target.

    Args:
        nonzero: Where it has values, (outputs, inputs).
        costs: What the kernels of the target cost.
        integers: Whether it is multiplied as int8.

    Returns:
        A half-sentence; empty if a sparse kernel would be faster.

    Example:
        >>> from tfprune.targets.target import TARGETS
        >>> reason(np.eye(32, dtype=bool), TARGETS["x86"].costs, integers=False)
        'it is too small for a sparse kernel to pay'
        >>> reason(np.ones((512, 512), bool), TARGETS["x86"].costs, integers=False)
        'it has too few zeros for a sparse kernel to pay'
    """
    inputs = nonzero.shape[-1]
    if integers and inputs % _INT8_BLOCK:
        return f"{inputs} inputs are no multiple of {_INT8_BLOCK}"
    block = _INT8_BLOCK if integers else _FLOAT_BLOCK
    dense = nonzero.size * (costs.int8_dense if integers else costs.dense)
    found = []
    if inputs % block == 0:
        blocks = nonzero.reshape(-1, inputs // block, block).any(-1)
        value = costs.int8_blocks if integers else costs.blocks
        found.append(value * block * np.count_nonzero(blocks))
    if not integers:
        found.append(costs.rows * np.count_nonzero(nonzero))
    if min(found) + costs.call < dense:
        return ""
    if min(found) < dense:
        return TOO_SMALL
    enough = (
        1 - costs.int8_dense / costs.int8_blocks if integers else 1 - costs.dense / costs.blocks
    )
    if 1 - np.count_nonzero(nonzero) / nonzero.size > enough:
        return f"too few of its zeros fill blocks of {block} inputs"
    return "it has too few zeros for a sparse kernel to pay"
