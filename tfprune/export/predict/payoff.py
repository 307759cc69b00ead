"""Why a fully connected weight is not on a sparse kernel: whether that would pay."""

import numpy as np

from tfprune.targets.target import Costs, IntegerCosts

_FLOAT_BLOCK, _INT8_BLOCK = 4, 16

TOO_SMALL = "it is too small for a sparse kernel to pay"


def reason(nonzero: np.ndarray, costs: Costs, integers: IntegerCosts | None = None) -> str:
    """What speaks against the sparse kernels of a weight on a target.

    Args:
        nonzero: Where it has values, (outputs, inputs).
        costs: What the kernels of the target cost.
        integers: Those of its kind of int8 arithmetic; None for float32.

    Returns:
        A half-sentence; empty if a sparse kernel would be faster.

    Example:
        >>> from tfprune.targets.target import TARGETS
        >>> reason(np.eye(32, dtype=bool), TARGETS["x86"].costs)
        'it is too small for a sparse kernel to pay'
        >>> reason(np.ones((512, 512), bool), TARGETS["x86"].costs)
        'it has too few zeros for a sparse kernel to pay'
    """
    outputs, inputs = nonzero.shape
    if integers is None:
        block, dense, value, fixed = _FLOAT_BLOCK, costs.dense, costs.blocks, costs.call
    elif inputs % _INT8_BLOCK:
        return f"{inputs} inputs are no multiple of {_INT8_BLOCK}"
    else:
        block, dense, value = _INT8_BLOCK, integers.dense, integers.blocks
        fixed = costs.call + integers.output * outputs
    found = []
    if inputs % block == 0:
        blocks = nonzero.reshape(-1, inputs // block, block).any(-1)
        found.append(value * block * np.count_nonzero(blocks))
    if integers is None:
        found.append(costs.rows * np.count_nonzero(nonzero))
    if min(found) + fixed < dense * nonzero.size:
        return ""
    if min(found) < dense * nonzero.size:
        return TOO_SMALL
    enough = 1 - dense / value
    if 1 - np.count_nonzero(nonzero) / nonzero.size > enough:
        return f"too few of its zeros fill blocks of {block} inputs"
    return "it has too few zeros for a sparse kernel to pay"
