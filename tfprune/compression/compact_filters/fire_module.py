"""Fire modules: a 1x1 convolution to few channels, then 1x1 and larger filters side by side.

The squeezing convolution is the projection to the s input directions with the most energy of the
kernel, U of the singular value decomposition of (inputs, positions x outputs). Behind it stand the
filters U' W: those with the most of their energy at the centre keep that alone, as 1x1 filters, the
other half stays as it is.

Source: Iandola et al., "SqueezeNet" (arXiv 1602.07360), section 3.2.

Deviations: the squeezing layer has no activation, so that the module is the nearest one to the
layer; channels keep their order.
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

_SQUEEZED = 4  # outputs of the layer for each channel behind the squeezing layer


def fire(layer: keras.layers.Conv2D, multiplier: int = 1) -> Substitute:
    """Return a fire module that is near to a layer.

    Args:
        layer: built, of odd kernel sizes, with padding "same" and without groups.
        multiplier: of the channels behind the squeezing layer, a quarter of the outputs at 1.

    Raises:
        ValueError: if 1x1 filters cannot stand beside the others: sizes are even, or there is no
            padding.

    Example:
        >>> layer = keras.layers.Conv2D(8, 3, padding="same")
        >>> model = keras.Sequential([keras.Input((5, 5, 4)), layer])
        >>> fire(layer).parameters
        88
    """
    h, w = layer.kernel_size
    if h % 2 == 0 or w % 2 == 0 or layer.padding != "same":
        raise ValueError("1x1 filters beside it need odd kernel sizes and padding 'same'")
    kernel = host_array(layer.kernel.value).astype("float64")
    c, m = kernel.shape[2:]
    s = min(c, max(1, multiplier * m // _SQUEEZED))
    basis = np.linalg.svd(kernel.transpose(2, 0, 1, 3).reshape(c, -1), full_matrices=False)[0]
    squeezing = basis[:, :s]
    inner = np.einsum("cs,hwcm->hwsm", squeezing, kernel)
    centre = inner[h // 2, w // 2]
    share = np.sum(centre**2, axis=0) / np.maximum(np.sum(inner**2, axis=(0, 1, 2)), 1e-30)
    order = np.argsort(-share, kind="stable")
    small, large = np.sort(order[: m // 2]), np.sort(order[m // 2 :])
    kept = inner.copy()
    kept[..., small] = 0.0
    kept[h // 2, w // 2][:, small] = centre[:, small]
    name, axis = layer.name, channel_axis(layer)
    lines = {"data_format": layer.data_format, "dtype": layer.dtype_policy, "use_bias": False}
    options = {**geometry(layer), "use_bias": False}
    options["kernel_regularizer"] = layer.kernel_regularizer
    squeeze = keras.layers.Conv2D(s, 1, name=f"{name}_squeeze", **lines)
    shape = list(layer.input.shape[1:])
    shape[axis - 1] = s
    inputs = keras.Input(shape)
    ones = keras.layers.Conv2D(small.size, 1, name=f"{name}_1x1", **options)(inputs)
    others = keras.layers.Conv2D(large.size, (h, w), name=f"{name}_{h}x{w}", **options)(inputs)
    both = ops.concatenate([ones, others], axis=axis)
    place = np.argsort(np.concatenate([small, large]))
    expand = keras.Model(inputs, reordered(both, place, axis), name=f"{name}_expand")
    expanded = [centre[:, small][None, None], inner[..., large]]
    weights = [squeezing[None, None], *expanded]
    last, of_last = shift_and_activation(layer)
    chain = Chain([squeeze, expand, last], [weights[:1], expanded, of_last])
    found = np.einsum("cs,hwsm->hwcm", squeezing, kept)
    return Substitute(f"fire, {s} squeezed", found, sum(array.size for array in weights), chain)
