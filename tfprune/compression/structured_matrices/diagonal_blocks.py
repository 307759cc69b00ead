"""Block-diagonal matrices: every unit reads one part of the inputs.

The nearest one to a kernel has its blocks on the diagonal, and zeros elsewhere. With k blocks, n
inputs and m outputs it has n m / k numbers and as many multiply-adds. Alone it keeps units of
different blocks apart; a layer that mixes them belongs before or behind it.

Source: Cheng et al., "A Survey of Model Compression and Acceleration for Deep Neural Networks"
(arXiv 1710.09282), section III B, for structured matrices at large.
"""

import math
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


def block_diagonal(kernel: np.ndarray, blocks: int) -> Structured:
    """Return the nearest block-diagonal matrix to a kernel.

    Args:
        kernel: (inputs, outputs).
        blocks: at most, >= 1; the largest number up to it that divides both sides is taken.

    Example:
        >>> block_diagonal(np.ones((4, 2)), 2).matrix.tolist()
        [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    """
    n, m = kernel.shape
    k = largest_divisor(math.gcd(n, m), blocks)
    parts = kernel.reshape(k, n // k, k, m // k)
    own = parts[np.arange(k), :, np.arange(k)]  # (k, n / k, m / k)
    matrix = np.zeros_like(parts)
    matrix[np.arange(k), :, np.arange(k)] = own

    def layers(layer: keras.layers.Dense, shape: Sequence[int | None]) -> list[Filled]:
        name = layer.name
        product = keras.layers.EinsumDense(
            "...ai,aio->...ao",
            (k, m // k),
            bias_axes="ao" if layer.use_bias else None,
            activation=layer.activation,
            kernel_regularizer=layer.kernel_regularizer,
            dtype=layer.dtype_policy,
            name=f"{name}_out",
        )
        return [
            (keras.layers.Reshape(unflattened(shape, (k, n // k)), name=f"{name}_blocks"), []),
            (product, [own, *bias_of(layer, (k, m // k))]),
            (keras.layers.Reshape(unflattened(shape, (m,)), name=name), []),
        ]

    kind, numbers = f"block-diagonal, {k} blocks", n * m // k
    return Structured(kind, matrix.reshape(n, m), numbers, numbers, layers)
