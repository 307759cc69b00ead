"""Which axes of a weight have a scale of each entry in a LiteRT file."""

import keras

from tfprune.layer_classes.axes import axes_of


def channel_axes(layer: keras.layers.Layer, weight: keras.Variable) -> tuple[int, ...]:
    """Return the axes of a weight that have a scale for each entry in a LiteRT file.

    Args:
        layer: the layer that holds the weight.
        weight: one of its prunable weights.

    Example:
        >>> layer = keras.layers.DepthwiseConv2D(3)
        >>> layer.build((None, 8, 8, 4))
        >>> channel_axes(layer, layer.kernel)
        (2, 3)
    """
    axes = axes_of(layer, weight)
    if axes.is_lookup:
        return ()  # a table that is looked up has one scale
    if axes.product is None:
        return (len(weight.shape) - 1,)
    return tuple(sorted((*axes.depthwise, *axes.outputs)))
