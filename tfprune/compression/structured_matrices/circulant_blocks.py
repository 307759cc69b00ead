"""Block-circulant matrices: each block is one vector, turned by one entry from row to row.

    block[a, b] = h[(b - a) mod c]

The nearest one to a block has in h the means over its c wrapped diagonals. A product is a circular
convolution: with inputs as (c positions, n / c channels), continued at their end by their
beginning, it is a Conv1D of kernel size c, whose kernel holds the vectors of all blocks.

So n m / c numbers are stored. Multiply-adds stay n m: those of the Fourier transform, c log c a
block, are out of reach where files run, since LiteRT has no inverse transform for them.

Sources: Cheng et al., "An Exploration of Parameter Redundancy in Deep Networks with Circulant
Projections", ICCV 2015 (arXiv 1502.03436); Ding et al., "CirCNN" (arXiv 1708.08917), for blocks.
"""

import math
from collections.abc import Sequence

import keras
import numpy as np

from tfprune.compression.structured_matrices.structured_kernel import (
    Filled,
    Structured,
    largest_divisor,
    scaled_and_shifted,
)


def circulant(kernel: np.ndarray, blocks: int) -> Structured:
    """Return the nearest block-circulant matrix to a kernel.

    Args:
        kernel: (inputs, outputs).
        blocks: along the inputs at least, >= 1; the fewer, the smaller and the farther. A block has
            the largest side that divides inputs and outputs.

    Example:
        >>> circulant(np.array([[1.0, 2.0], [4.0, 3.0]]), 1).matrix.tolist()
        [[2.0, 3.0], [3.0, 2.0]]
    """
    n, m = kernel.shape
    c = largest_divisor(math.gcd(n, m), max(1, n // blocks))
    k, q = n // c, m // c
    a, b = np.indices((c, c))
    parts = kernel.reshape(k, c, q, c).transpose(0, 2, 1, 3)  # (k, q, c, c)
    turned = parts[:, :, np.arange(c)[:, None], (a + b) % c]  # [..., a, t] = block[a, a + t]
    vectors = turned.mean(axis=2)  # (k, q, c)
    matrix = vectors[:, :, (b - a) % c].transpose(0, 2, 1, 3).reshape(n, m)
    filters = vectors[:, :, -np.arange(c) % c].transpose(2, 0, 1)  # (c, k, q)

    def layers(layer: keras.layers.Dense, shape: Sequence[int | None]) -> list[Filled]:
        if len(shape) > 1:
            raise ValueError("its inputs are no single vectors, which circular convolutions need")
        name = layer.name
        product = keras.layers.Conv1D(
            q,
            c,
            use_bias=False,
            kernel_regularizer=layer.kernel_regularizer,
            dtype=layer.dtype_policy,
            name=f"{name}_vectors",
        )
        return [
            (keras.layers.Reshape((k, c), name=f"{name}_blocks"), []),
            (keras.layers.Permute((2, 1), name=f"{name}_positions"), []),
            (_continued(c, k, f"{name}_circle"), []),
            (product, [filters]),
            (keras.layers.Permute((2, 1), name=f"{name}_units"), []),
            (keras.layers.Reshape((m,), name=f"{name}_flat"), []),
            scaled_and_shifted(layer),
        ]

    return Structured(f"circulant, blocks of {c}", matrix, n * m // c, n * m, layers)


def _continued(positions: int, channels: int, name: str) -> keras.Model:
    """Return a model that appends all positions but the last to the positions."""
    inputs = keras.Input((positions, channels))
    again = keras.layers.Cropping1D((0, 1))(inputs)
    return keras.Model(inputs, keras.layers.Concatenate(axis=1)([inputs, again]), name=name)
