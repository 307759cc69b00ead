"""Multiply-adds of operations that multiply tensors with each other, whose channels all stay."""

from collections.abc import Callable, Sequence

from tfprune.channels.coupling.call_site import Shape, Site


def count(site: Site) -> bool:
    """Write down the multiply-adds of a product of tensors; return whether the call is one."""
    summed = _SUMMED.get(type(site.operation).__name__)
    if summed is None or not type(site.operation).__module__.startswith("keras."):
        return False
    lengths = summed(site)
    if lengths is None:
        site.book.uncounted.append(site.name)
    else:
        site.multiply(None, (*site.out_shapes[0], *lengths))
    return True


def _matmul(site: Site) -> Shape:
    return (getattr(site.arguments["x1"], "shape")[-1],)


def _dot(site: Site) -> Shape:
    axes = getattr(site.operation, "axes", None)
    if axes is None:  # keras.ops.dot, and not the layer
        return _matmul(site)
    axis = axes if isinstance(axes, int) else axes[0]
    return (site.shapes[0][axis - 1 if axis > 0 else axis],)


def _einsum(site: Site) -> Shape | None:
    return _summed(site.operation.subscripts.replace(" ", ""), site.shapes)


def _summed(subscripts: str, shapes: Sequence[Shape]) -> Shape | None:
    """Return the lengths that an equation sums over; None if it does not show them.

    Args:
        subscripts: with the axis of the batch.
        shapes: of the operands that are tensors of the model, without it.

    Example:
        >>> _summed("bqhd,bkhd->bhqk", [(6, 2, 4), (9, 2, 4)]), _summed("ij,jk", [(3,), (4,)])
        ((4,), None)
    """
    inputs, arrow, output = subscripts.partition("->")
    operands = inputs.split(",")
    if not arrow or len(operands) != len(shapes):
        return None
    found: dict[str, int | None] = {}
    for operand, shape in zip(operands, shapes):
        before, dots, behind = operand.partition("...")
        letters = before if not dots else behind
        for place, letter in enumerate(reversed(letters), start=1):
            if letter not in output and place <= len(shape):
                found[letter] = shape[-place]
        if dots and set(before[1:]) - set(output):
            return None
    return tuple(found.values())


_SUMMED: dict[str, Callable[[Site], Shape | None]] = {
    "Matmul": _matmul,
    "Dot": _dot,
    "Einsum": _einsum,
}
