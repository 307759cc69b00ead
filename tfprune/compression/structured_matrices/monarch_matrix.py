"""Monarch matrices: two block-diagonal matrices with a permutation in between.

Write input i as (i1, i2) of k blocks and output o as (j, o2) of q blocks:

    W[(i1, i2), (j, o2)] = R[i1, i2, j] L[j, i1, o2]

so that the k q blocks W[i1, :, j, :] have rank 1 each, and the nearest matrix of this kind to any
other is found by one singular value decomposition a block, exactly. A product takes n q + k m
multiply-adds for n inputs and m outputs, in place of n m, and as many numbers.

Source: Dao et al., "Monarch: Expressive Structured Matrices for Efficient and Accurate Training",
ICML 2022 (arXiv 2204.00595), definition 3.1 and theorem 1.

Deviations: blocks need not be square, and sides not multiples of the number of blocks: each side
gets the largest number of blocks up to it that divides it. The permutation behind the second factor
is left out: it is the order of the units, which nothing else depends on.
"""

from collections.abc import Sequence

import keras
import numpy as np

from tfprune.compression.structured_matrices.structured_kernel import (
    Filled,
    Structured,
    largest_divisor,
    unflattened,
)
from tfprune.compression.substitutes import bias_of


def monarch(kernel: np.ndarray, blocks: int) -> Structured:
    """Return the nearest Monarch matrix to a kernel.

    Args:
        kernel: (inputs, outputs).
        blocks: of each side at most, >= 1; the fewer, the smaller and the farther.

    Example:
        >>> monarch(np.outer([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 2.0]), 2).parameters
        10
    """
    n, m = kernel.shape
    k, q = largest_divisor(n, blocks), largest_divisor(m, blocks)
    parts = kernel.reshape(k, n // k, q, m // q).transpose(0, 2, 1, 3)
    left, size, right = np.linalg.svd(parts, full_matrices=False)
    root = np.sqrt(size[..., :1])
    first = (left[..., 0] * root).transpose(0, 2, 1)  # (k, n / k, q)
    second = (right[..., 0, :] * root).transpose(1, 0, 2)  # (q, k, m / q)
    matrix = np.einsum("aij,jao->aijo", first, second).reshape(n, m)

    def layers(layer: keras.layers.Dense, shape: Sequence[int | None]) -> list[Filled]:
        name = layer.name
        options = {"dtype": layer.dtype_policy, "kernel_regularizer": layer.kernel_regularizer}
        inner = keras.layers.EinsumDense("...ai,aij->...ja", (q, k), name=f"{name}_in", **options)
        outer = keras.layers.EinsumDense(
            "...ja,jao->...jo",
            (q, m // q),
            bias_axes="jo" if layer.use_bias else None,
            activation=layer.activation,
            name=f"{name}_out",
            **options,
        )
        return [
            (keras.layers.Reshape(unflattened(shape, (k, n // k)), name=f"{name}_blocks"), []),
            (inner, [first]),
            (outer, [second, *bias_of(layer, (q, m // q))]),
            (keras.layers.Reshape(unflattened(shape, (m,)), name=name), []),
        ]

    numbers = n * q + k * m
    return Structured(f"Monarch, {k} x {q} blocks", matrix, numbers, numbers, layers)
