"""Explicit symmetric padding, one PAD per convolution.

XNNPACK's sparse mode takes a strided convolution only with half a kernel of zeros on every side,
and merges a PAD into the convolution that reads it only if nothing else does.
"""

from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import windows


def apply(subgraph: Subgraph) -> tuple[str, ...]:
    """Give strided convolutions symmetric padding where that is exact, and each its own PAD.

    Args:
        subgraph: The subgraph, changed in place.

    Returns:
        One sentence if anything changed.
    """
    producers, readers = subgraph.producers(), subgraph.readers()
    kept = set(subgraph.outputs)
    changed = 0

    def rule(operator: Operator) -> list[Operator]:
        nonlocal changed
        if subgraph.code(operator) not in windows.CONVOLUTIONS:
            return [operator]
        window = windows.read(subgraph, operator, producers)
        pads = _wanted(window)
        read = int(operator.inputs[0])
        shared = window.pad is not None and (len(readers[read]) > 1 or read in kept)
        if not shared and (pads is None or pads == _written(subgraph, operator, window)):
            return [operator]
        changed += 1
        return windows.set_padding(subgraph, operator, window.source, pads or _exact(window))

    subgraph.rewrite(rule)
    if not changed:
        return ()
    return (f"Convolutions with an explicit PAD of their own: {changed}.",)


def _wanted(window: windows.Window) -> windows.Pads | None:
    """Half a kernel on every side, where a strided convolution may have it."""
    height, width = window.axes
    if not window.strided or not window.symmetric or height.kernel * width.kernel == 1:
        return None
    return (height.begin, height.begin), (width.begin, width.begin)


def _written(subgraph: Subgraph, operator: Operator, window: windows.Window) -> windows.Pads | None:
    """The explicit padding in the file; None if the operator pads by itself."""
    if operator.builtinOptions.padding != schema.Padding.VALID:
        return None
    return ((0, 0), (0, 0)) if window.pad is None else windows.zeros_of(subgraph, window.pad)


def _exact(window: windows.Window) -> windows.Pads:
    """The zeros that are read."""
    height, width = window.axes
    return (height.begin, max(height.end, 0)), (width.begin, max(width.end, 0))
