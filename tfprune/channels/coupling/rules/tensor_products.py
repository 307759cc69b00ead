"""Multiply-adds of operations that multiply tensors with each other, whose channels all stay."""

import math
from collections.abc import Callable, Sequence

import keras

from tfprune.channels.coupling.call_site import Shape, Site


def count(site: Site) -> bool:
    """Write down the multiply-adds of a product of tensors; return whether the call is one."""
    lengths_of = _LENGTHS.get(type(site.operation).__name__)
    if lengths_of is None or not type(site.operation).__module__.startswith("keras."):
        return False
    lengths = lengths_of(site)
    if lengths is None:
        site.book.uncounted.append(site.name)
    else:
        site.multiply(None, lengths)
    return True


def _shape(site: Site, name: str) -> Shape:
    """Return the whole shape of an argument, a tensor of the model or an array."""
    given = site.arguments[name]
    return tuple(getattr(given, "shape", ()))  # a number has none


def _is_tensor(site: Site, name: str) -> bool:
    return isinstance(site.arguments[name], keras.KerasTensor)


def _matmul(site: Site) -> Shape:
    return (*site.out_shapes[0], _shape(site, "x1")[-1])


def _dot(site: Site) -> Shape:
    axes = getattr(site.operation, "axes", None)
    if axes is None:  # keras.ops.dot, and not the layer
        return _matmul(site)
    axis = axes if isinstance(axes, int) else axes[0]
    return (*site.out_shapes[0], site.shapes[0][axis - 1 if axis > 0 else axis])


def _tensordot(site: Site) -> Shape | None:
    first, axes = _shape(site, "x1"), site.operation.axes
    if isinstance(axes, int):
        summed = list(range(len(first) - axes, len(first)))
    else:
        given = [axes[0]] if isinstance(axes[0], int) else axes[0]
        summed = [axis % len(first) for axis in given]
    if 0 in summed or not _is_tensor(site, "x1") or _is_tensor(site, "x2"):
        return None  # batches meet
    return (*site.out_shapes[0], *(first[axis] for axis in summed))


def _inner(site: Site) -> Shape | None:
    first = _shape(site, "x1")
    if len(first) < 2 or not _is_tensor(site, "x1") or _is_tensor(site, "x2"):
        return None
    return (*site.out_shapes[0], first[-1] if _shape(site, "x2") else 1)


def _outer(site: Site) -> Shape | None:
    """Each number of an example with each of an array."""
    if _is_tensor(site, "x1") == _is_tensor(site, "x2"):
        return None
    given, other = ("x1", "x2") if _is_tensor(site, "x1") else ("x2", "x1")
    return (*_shape(site, given)[1:], *_shape(site, other))


def _vdot(site: Site) -> Shape:
    return site.shapes[0]  # all is summed, over the batch too


def _attention(site: Site) -> Shape:
    """Scores of queries (tokens, heads, width) and keys, and the sums of values by them."""
    return (*site.out_shapes[0], _shape(site, "key")[1], 2)


def _convolution(site: Site) -> Shape:
    return (*site.out_shapes[0], *_shape(site, "kernel")[:-1])


def _depthwise(site: Site) -> Shape:
    return (*site.out_shapes[0], *_shape(site, "kernel")[:-2])


def _separable(site: Site) -> Shape:
    names = ("depthwise_kernel", "pointwise_kernel")
    kernels = [[size or 1 for size in _shape(site, name)] for name in names]
    layout = site.operation.data_format or keras.config.image_data_format()
    out = site.out_shapes[0]
    places = out[1:] if layout == "channels_first" else out[:-1]
    return (*places, sum(math.prod(kernel) for kernel in kernels))


def _transposed(site: Site) -> Shape:
    """Each place of the input is multiplied by the kernel, (..., channels out, in)."""
    return (*_shape(site, "inputs")[1:], *_shape(site, "kernel")[:-1])


def _einsum(site: Site) -> Shape | None:
    summed = _summed(site.operation.subscripts.replace(" ", ""), site.shapes)
    return None if summed is None else (*site.out_shapes[0], *summed)


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


# What is as long as this, in all, is what one call multiplies and adds; None if it is not shown.
_LENGTHS: dict[str, Callable[[Site], Shape | None]] = {
    "Matmul": _matmul,
    "Dot": _dot,
    "Einsum": _einsum,
    "Tensordot": _tensordot,
    "Inner": _inner,
    "Outer": _outer,
    "Vdot": _vdot,
    "DotProductAttention": _attention,
    "Conv": _convolution,
    "DepthwiseConv": _depthwise,
    "SeparableConv": _separable,
    "ConvTranspose": _transposed,
}
MULTIPLYING = frozenset("""
    Attention AdditiveAttention TimeDistributed Bidirectional Wrapper
    Lambda TFSMLayer JaxLayer FlaxLayer TorchModuleWrapper MelSpectrogram STFTSpectrogram
    Map Scan AssociativeScan ForiLoop WhileLoop Cond Switch VectorizedMap JVP
    Kron Cross Correlate Corrcoef Cholesky CholeskyInverse Det Eig Eigh Inv LuFactor Qr Solve
    SolveTriangular SVD Lstsq MatrixRank Pinv Logdet Slogdet CDist
    FFT FFT2 IFFT2 RFFT IRFFT STFT ISTFT GaussianBlur SobelEdges SSIM
    """.split())
"""Classes of Keras that multiply without weights, or may, but for products of tensors."""
