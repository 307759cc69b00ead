"""Adaptive Fastfood: a matrix of three diagonals, two Hadamard transforms and a permutation.

    W = B H P G H S        S, G, B diagonal, P a fixed permutation, H the Hadamard matrix of side d

d is the power of 2 at or above both sides of the kernel; inputs are filled up with zeros, and only
the first outputs are used. n + d + m numbers are stored, and trained. H of side d = a b is the
Kronecker product of those of sides a and b, so that a transform is two products by small matrices,
d (a + b) multiply-adds.

The nearest matrix has no closed form. Each diagonal alone has, given the other two: S and B entry
by entry, G by d linear equations. They are found in turns, from random signs.

Sources: Yang et al., "Deep Fried Convnets", ICCV 2015 (arXiv 1412.7149), equation 4; Le, Sarlos &
Smola, "Fastfood", ICML 2013 (arXiv 1408.3060).

Deviation: one transform for each kernel; kernels with more outputs than inputs are not stacked.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import scipy.linalg
from keras import ops

from tfprune.compression.structured_matrices.structured_kernel import (
    Filled,
    Structured,
    scaled_and_shifted,
)
from tfprune.support.tensors import Tensor

_TURNS = 10
_MOST = 2048  # side; the linear equations take its cube


def fastfood(kernel: np.ndarray, blocks: int = 1) -> Structured:
    """Return a matrix of this kind that is near to a kernel.

    Args:
        kernel: (inputs, outputs), neither above 2048.
        blocks: not used; sizes follow from the kernel.

    Raises:
        ValueError: if a side is too large.

    Example:
        >>> fastfood(np.ones((3, 2)), 1).parameters
        9
    """
    n, m = kernel.shape
    d = 1 << (max(n, m) - 1).bit_length()
    if d > _MOST:
        raise ValueError(f"its sides are above {_MOST}, and fitting would take too long")
    a = 1 << (d.bit_length() // 2)
    b = d // a
    hadamard = scipy.linalg.hadamard(d).astype(float) / np.sqrt(d)
    random = np.random.default_rng(0)
    order = random.permutation(d)
    shuffled = hadamard[order]  # P^T H: row i is row order[i] of H
    first, middle, last = _fitted(kernel, hadamard[:n], shuffled[:, :m], random)
    matrix = (first[:, None] * hadamard[:n]) @ (middle[:, None] * shuffled[:, :m]) * last

    def layers(layer: keras.layers.Dense, shape: Sequence[int | None]) -> list[Filled]:
        if len(shape) > 1:
            raise ValueError("its inputs are no single vectors, which transforms need")
        name = layer.name
        final, (ones, *bias) = scaled_and_shifted(layer)
        back = np.argsort(order)
        return [
            (_diagonal(n, f"{name}_first"), [first]),
            (_of(n, lambda x: ops.pad(x, ((0, 0), (0, d - n))), f"{name}_filled"), []),
            *_transform(a, b, f"{name}_transform"),
            (_diagonal(d, f"{name}_middle"), [middle]),
            (_of(d, lambda x: ops.take(x, back, axis=-1), f"{name}_order"), []),
            *_transform(a, b, f"{name}_again"),
            (_of(d, lambda x: ops.take(x, np.arange(m), axis=-1), f"{name}_used"), []),
            (final, [ones * last, *bias]),
        ]

    return Structured(f"Fastfood, side {d}", matrix, n + d + m, n + d + m + 2 * d * (a + b), layers)


def _fitted(
    kernel: np.ndarray, before: np.ndarray, after: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the diagonals s, g, l of diag(s) before diag(g) after diag(l) near to a kernel."""
    n, d = before.shape
    first, last = random.choice([-1.0, 1.0], n), np.ones(after.shape[1])
    middle = np.ones(d)
    for _ in range(_TURNS):
        left, right = first[:, None] * before, after * last
        normal = (left.T @ left) * (right @ right.T)
        wanted = np.einsum("id,ij,dj->d", left, kernel, right, optimize=True)
        middle = np.linalg.lstsq(normal, wanted, rcond=None)[0]
        product = (before * middle) @ (after * last)
        first = _scales(kernel, product, axis=1)
        product = first[:, None] * ((before * middle) @ after)
        last = _scales(kernel, product, axis=0)
    return first, middle, last


def _scales(kernel: np.ndarray, product: np.ndarray, axis: int) -> np.ndarray:
    """Return the factors of rows or columns of a product that bring it nearest to the kernel."""
    size = np.sum(product**2, axis=axis)
    common = np.sum(kernel * product, axis=axis)
    return np.divide(common, size, out=np.ones_like(size), where=size > 0)


def _diagonal(size: int, name: str) -> keras.layers.Layer:
    return keras.layers.EinsumDense("...i,i->...i", size, name=name)


def _transform(a: int, b: int, name: str) -> list[Filled]:
    """Return layers that multiply by the Hadamard matrix of side a b, whose entries are fixed."""
    inner, outer = (
        keras.layers.EinsumDense(equation, (a, b), trainable=False, name=f"{name}_{part}")
        for part, equation in (("inner", "...ij,jl->...il"), ("outer", "...il,ik->...kl"))
    )
    return [
        (keras.layers.Reshape((a, b), name=f"{name}_in"), []),
        (inner, [scipy.linalg.hadamard(b) / np.sqrt(b)]),
        (outer, [scipy.linalg.hadamard(a) / np.sqrt(a)]),
        (keras.layers.Reshape((a * b,), name=f"{name}_out"), []),
    ]


def _of(size: int, operation: Callable[[Tensor], Tensor], name: str) -> keras.Model:
    """Return an operation as a layer that is saved without tfprune."""
    inputs = keras.Input((size,))
    return keras.Model(inputs, operation(inputs), name=name)
