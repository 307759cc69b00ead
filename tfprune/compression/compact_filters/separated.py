"""Depthwise-separable convolutions: filters of each input channel alone, then a 1x1 convolution.

For input channel c the kernel is a matrix W_c of h w positions and m outputs. With r filters a
channel, its best approximation is the first r singular vectors on either side,

    W_c ~ sum over j <= r of u_j s_j v_j',    depthwise [., c, j] = u_j sqrt(s_j),
                                              pointwise [c r + j, .] = sqrt(s_j) v_j

which is the nearest separable convolution to any other; r = h w is exact.

Sources: Howard et al., "MobileNets" (arXiv 1704.04861), section 3.1; Guo et al., "Network
Decoupling: From Regular to Depthwise Separable Convolutions", BMVC 2018 (arXiv 1808.05517), theorem
1, for the decomposition.
"""

import keras
import numpy as np

from tfprune.compression.compact_filters.geometry_of_layers import geometry
from tfprune.compression.substitutes import Substitute, bias_of
from tfprune.keras_graph.chains import Chain
from tfprune.support.arrays import host_array


def separable(layer: keras.layers.Conv2D, multiplier: int) -> Substitute:
    """Return the nearest separable convolution to a layer.

    Args:
        layer: built, without groups.
        multiplier: filters of each input channel, >= 1.

    Raises:
        ValueError: if the layer's strides differ along its axes, which Keras's layer has not.

    Example:
        >>> layer = keras.layers.Conv2D(8, 3)
        >>> layer.build((None, 5, 5, 4))
        >>> separable(layer, 1).parameters
        68
    """
    if len(set(layer.strides)) > 1:
        raise ValueError("its strides differ along its axes, and those of SeparableConv2D cannot")
    kernel = host_array(layer.kernel.value).astype("float64")
    h, w, c, m = kernel.shape
    r = min(multiplier, h * w, m)
    left, size, right = np.linalg.svd(
        kernel.transpose(2, 0, 1, 3).reshape(c, h * w, m), full_matrices=False
    )
    root = np.sqrt(size[:, :r])
    depthwise = (left[:, :, :r] * root[:, None]).transpose(1, 0, 2).reshape(h, w, c, r)
    pointwise = (right[:, :r] * root[:, :, None]).reshape(1, 1, c * r, m)
    found = np.einsum("hwcr,crm->hwcm", depthwise, pointwise.reshape(c, r, m))
    options = geometry(layer)
    new = keras.layers.SeparableConv2D(
        m,
        (h, w),
        depth_multiplier=r,
        use_bias=layer.use_bias,
        activation=layer.activation,
        depthwise_regularizer=layer.kernel_regularizer,
        pointwise_regularizer=layer.kernel_regularizer,
        name=layer.name,
        **{**options, "dilation_rate": layer.dilation_rate[0]},
    )
    weights = [array.astype("float32") for array in (depthwise, pointwise)]
    chain = Chain([new], [[*weights, *bias_of(layer)]])
    return Substitute(f"separable, {r} a channel", found, depthwise.size + pointwise.size, chain)
