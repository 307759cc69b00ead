"""A convolution as one with fewer filters, and a 1x1 convolution that mixes them.

    W (positions * inputs, outputs) = A B:    k x k, inputs -> r,    then 1x1, r -> outputs.

Each output position is a row of X, the patches, times W, so that the truncated singular value
decomposition of `tfprune.compression.low_rank.matrices` is the best there is for the outputs, with
data and without, whatever strides, padding and dilation are.

Time O(d^2 n), memory O(d^2), with d = positions * inputs and n outputs.

Source: Zhang et al., "Accelerating Very Deep Convolutional Networks for Classification and
Detection", TPAMI 2016 (arXiv 1505.06798), section 2.1.

Deviations: the responses are not centered, and the nonlinearity behind them is not looked at.
"""

import numpy as np

from tfprune.compression.low_rank import matrices
from tfprune.compression.low_rank.matrices import Moments, Ranks, Split


def split(kernel: np.ndarray, moments: Moments = None) -> Split:
    """Return how a kernel becomes two, with one rank.

    Args:
        kernel: (*positions, inputs, outputs).
        moments: of the patches, (d, d), in the order of the kernel's axes.

    Example:
        >>> found = split(np.ones((3, 3, 2, 8)))
        >>> [factor.shape for factor in found.factors((1,))[0]]
        [(3, 3, 2, 1), (1, 1, 1, 8)]
    """
    positions, (inputs, outputs) = kernel.shape[:-2], kernel.shape[-2:]
    found = matrices.split(kernel.reshape(-1, outputs), moments)

    def factors(ranks: Ranks) -> tuple[list[np.ndarray], float]:
        (a, b), error = found.factors(ranks)
        ones = (1,) * len(positions)
        return [a.reshape(*positions, inputs, -1), b.reshape(*ones, -1, outputs)], error

    return Split(found.ranks, found.losses, factors)
