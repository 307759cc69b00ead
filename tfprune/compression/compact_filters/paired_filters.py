"""CReLU: half of the filters, each of which gives two channels, itself and its negative.

Filters of early layers come in pairs that are nearly opposite. Pairs (i, j) are formed by the most
negative cosines first, and the filter of a pair is the one nearest to both,

    w = (w_i - w_j) / 2        channel i = w x + b_i        channel j = -w x + b_j

for m / 2 filters and half of the multiply-adds. Channels keep their order.

Source: Shang, Sohn, Almeida & Lee, "Understanding and Improving Convolutional Neural Networks via
Concatenated Rectified Linear Units", ICML 2016 (arXiv 1603.05201).

Deviations: each channel has a bias of its own, and keeps its place. A layer without activation gets
none; the ReLU may stand behind a batch normalization, as it does in most networks.
"""

import keras
import numpy as np
from keras import ops

from tfprune.compression.compact_filters.geometry_of_layers import (
    channel_axis,
    geometry,
    reordered,
    shift_and_activation,
)
from tfprune.compression.substitutes import Substitute
from tfprune.keras_graph.chains import Chain
from tfprune.support.arrays import host_array


def concatenated_relu(layer: keras.layers.Conv2D, multiplier: int = 1) -> Substitute:
    """Return a convolution of half the filters and their negatives that is near to a layer.

    Args:
        layer: built, without groups.
        multiplier: not used.

    Raises:
        ValueError: if the number of filters is odd.

    Example:
        >>> layer = keras.layers.Conv2D(8, 3)
        >>> model = keras.Sequential([keras.Input((5, 5, 4)), layer])
        >>> concatenated_relu(layer).parameters
        144
    """
    kernel = host_array(layer.kernel.value).astype("float64")
    m = kernel.shape[-1]
    if m % 2:
        raise ValueError(f"its {m} filters cannot be paired")
    first, second = opposite_pairs(kernel.reshape(-1, m))
    half = (kernel[..., first] - kernel[..., second]) / 2
    order = np.argsort(np.concatenate([first, second]))  # of channel i among (half, -half)
    found = np.concatenate([half, -half], axis=-1)[..., order]
    name, axis = layer.name, channel_axis(layer)
    convolution = keras.layers.Conv2D(
        m // 2,
        layer.kernel_size,
        use_bias=False,
        kernel_regularizer=layer.kernel_regularizer,
        name=f"{name}_half",
        **geometry(layer),
    )
    shape = list(layer.output.shape[1:])
    shape[axis - 1] = m // 2
    inputs = keras.Input(shape)
    both = ops.concatenate([inputs, -inputs], axis=axis)
    doubled = keras.Model(inputs, reordered(both, order, axis), name=f"{name}_both")
    last, of_last = shift_and_activation(layer)
    chain = Chain([convolution, doubled, last], [[half.astype("float32")], [], of_last])
    return Substitute(f"CReLU, {m // 2} filters", found, half.size, chain)


def opposite_pairs(filters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of columns, the most opposite first.

    Args:
        filters: (size, an even number).

    Returns:
        Index of the one and of the other of each pair.

    Example:
        >>> first, second = opposite_pairs(np.array([[1.0, 3.0, -3.1, -0.9], [0, 1.0, -1.0, 0]]))
        >>> sorted(map(sorted, zip(first.tolist(), second.tolist())))
        [[0, 3], [1, 2]]
    """
    norms = np.linalg.norm(filters, axis=0)
    unit = filters / np.where(norms > 0, norms, 1.0)
    cosines = unit.T @ unit
    free = np.ones(len(cosines), bool)
    first, second = [], []
    for place in np.argsort(cosines, axis=None, kind="stable"):
        i, j = divmod(int(place), len(cosines))
        if i != j and free[i] and free[j]:
            free[[i, j]] = False
            first.append(i)
            second.append(j)
    return np.array(first), np.array(second)
