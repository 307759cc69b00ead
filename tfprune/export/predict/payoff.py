"""Why a fully connected weight is not on a sparse kernel: whether that would pay."""

import numpy as np

from tfprune.targets.costs import GAIN, Costs

_INT8_BLOCK = 16

TOO_SMALL = "it is too small for a sparse kernel to pay"
TOO_FEW_ZEROS = "it has too few zeros for a sparse kernel to pay"


def reason(nonzero: np.ndarray, costs: Costs, arithmetic: str = "float32", rows: int = 1) -> str:
    """What speaks against the sparse kernels of a weight on a target.

    Args:
        nonzero: Where it has values, (outputs, inputs).
        costs: What the kernels of the target cost.
        arithmetic: "float32", "int8" or "dynamic", int8 weights of float32 inputs.
        rows: How many rows of inputs are multiplied by it at once.

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
    integers = arithmetic != "float32"
    if integers and inputs % _INT8_BLOCK:
        return f"{inputs} inputs are no multiple of {_INT8_BLOCK}"
    stored = {
        block: block * int(np.count_nonzero(nonzero.reshape(-1, inputs // block, block).any(-1)))
        for block in ((_INT8_BLOCK,) if integers else (4, 1))
        if inputs % block == 0
    }
    kernels = {block: costs.kernels(block, dynamic=arithmetic == "dynamic") for block in stored}

    def pays(block: int, values: int, rows: int) -> bool:
        dense, sparse = kernels[block]
        taken = sparse.nanoseconds(values, outputs, rows)
        return taken < GAIN * dense.nanoseconds(nonzero.size, outputs, rows)

    def would_pay(block: int, values: int) -> bool:
        """The same of one row, where only stored values took time."""
        dense, sparse = kernels[block]
        return sparse.first * values < GAIN * dense.first * nonzero.size

    if any(pays(block, values, rows) for block, values in stored.items()):
        return ""
    if any(pays(block, values, 1) for block, values in stored.items()):
        return f"the dense kernel is faster with {rows} rows of inputs at once"
    if any(would_pay(block, values) for block, values in stored.items()):
        return TOO_SMALL
    if would_pay(max(stored), int(np.count_nonzero(nonzero))):
        return f"too few of its zeros fill blocks of {max(stored)} inputs"
    return TOO_FEW_ZEROS
