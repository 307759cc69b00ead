"""The two orders in which a convolution is 1x1 convolutions around a shift: gather or scatter."""

import numpy as np


def factors(
    kernel: np.ndarray, stride: int, sizes: tuple[int, ...], size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrices before and after the shift, and the tap that each channel between belongs to.

    Of the two orders, that with fewer multiply-adds: every pair is copied or summed, and shifted;
    the weights count at the places where they are applied.

    Args:
        kernel: The weights, of shape (outputs, taps, channels).
        stride: 1 or 2, along both axes.
        sizes: The shape of the tensor to read.
        size: Of the depthwise kernel.
    """
    outputs, _, channels = kernel.shape
    places = sizes[1] * sizes[2]
    kept = -(-places // stride**2)
    nonzeros = np.count_nonzero(kernel)
    gathered = np.argwhere(kernel.any(0))  # pairs (tap, channel)
    scattered = np.argwhere(kernel.any(2).T)  # pairs (tap, output)
    gather = len(gathered) * (places + size**2 * kept) + nonzeros * kept
    scatter = nonzeros * places + len(scattered) * (size**2 + 1) * kept
    if gather < scatter:
        tap, channel = gathered.T
        return np.eye(channels, dtype=np.float32)[channel], kernel[:, tap, channel], tap
    tap, output = scattered.T
    return kernel[output, tap], np.eye(outputs, dtype=np.float32)[:, output], tap
