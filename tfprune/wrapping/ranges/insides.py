"""Which layers have ranges inside: those that LiteRT computes in several steps.

A new kind of layer is one function here, or in a file beside this one, and one line in `inside_of`.
It computes what the layer's own `call` does, in the operations of the file, with a range after each
that is not fused into the one before.
"""

import keras
from keras import layers, ops

from tfprune.keras_graph.private_keras import is_plain_attention
from tfprune.support.tensors import Tensor
from tfprune.wrapping.ranges.activation_range import SIGNED, UNIT, Interval, rounded_to
from tfprune.wrapping.ranges.attention import ATTENTION
from tfprune.wrapping.ranges.inside import Inside, Ranged
from tfprune.wrapping.ranges.recurrent import recurrent_inside

# Activations that a convolution or a fully connected operation computes itself, but for a
# transposed one.
_FUSED = ("linear", "relu", "relu6")

# Activations whose outputs LiteRT gives in one range, whatever went in.
FIXED: dict[str, Interval] = {"sigmoid": UNIT, "softmax": UNIT, "tanh": SIGNED}

# Activations with an integer kernel of their own.
KNOWN = (*_FUSED, *FIXED, "silu", "swish", "gelu", "elu", "leaky_relu", "hard_swish", "hard_silu")

# Layers that multiply by a kernel and then apply their `activation`.
PRODUCTS = (
    layers.Dense,
    layers.EinsumDense,
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv1DTranspose,
    layers.Conv2DTranspose,
    layers.DepthwiseConv1D,
    layers.DepthwiseConv2D,
    layers.SeparableConv1D,
    layers.SeparableConv2D,
)


def activation_name(layer: object) -> str:
    """Return the name of a layer's activation: "linear" for none, "" for one without a name.

    Example:
        >>> activation_name(layers.Dense(2)), activation_name(layers.ReLU(6.0))
        ('linear', 'relu6')
    """
    if isinstance(layer, layers.ReLU):
        if layer.negative_slope or layer.threshold:
            return "leaky_relu" if not layer.max_value and not layer.threshold else ""
        return {None: "relu", 6: "relu6"}.get(layer.max_value, "")
    if isinstance(layer, layers.Softmax):
        return "softmax" if layer.axis in (-1, [-1]) else ""
    if isinstance(layer, layers.LeakyReLU):
        return "leaky_relu"
    if isinstance(layer, layers.ELU):
        return "elu" if layer.alpha == 1 else ""
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


def fuses(layer: object, activation: str) -> bool:
    """Return whether LiteRT computes an activation in the operation of this product before it.

    Example:
        >>> fuses(layers.Dense(2), "relu"), fuses(layers.Conv2DTranspose(2, 1), "relu")
        (True, False)
    """
    transposed = isinstance(layer, layers.Conv1DTranspose | layers.Conv2DTranspose)
    return activation in (("linear",) if transposed else _FUSED)


def inside_of(layer: keras.layers.Layer) -> Inside | None:
    """Return the ranges inside a layer, not those inside its sublayers; None if it needs none.

    `BatchNormalization` that is folded into the layer before it needs none either, which only the
    graph tells: it is wrapped where it is not folded.
    """
    recurrent = recurrent_inside(layer)
    if recurrent is not None:
        return recurrent
    if type(layer) is layers.MultiHeadAttention:
        return ATTENTION if is_plain_attention(layer) else None
    if isinstance(layer, layers.BatchNormalization):
        return _BATCH_NORMALIZATION
    if isinstance(layer, PRODUCTS):
        separable = isinstance(layer, layers.SeparableConv1D | layers.SeparableConv2D)
        unfused = not fuses(layer, activation_name(layer))
        points = ("depthwise",) * separable + ("before",) * unfused
        if not points:
            return None
        return Inside(points, _separable if separable else _with_activation)
    if isinstance(layer, layers.Activation) and activation_name(layer) in ("silu", "swish"):
        return Inside((), lambda layer, ranged, inputs, **unused: _silu(inputs))
    return None


def _activated(layer: keras.layers.Layer, ranged: Ranged, before: Tensor) -> Tensor:
    name = activation_name(layer)
    if fuses(layer, name):
        return layer.activation(before)
    before = ranged("before", before)
    return _silu(before) if name in ("silu", "swish") else layer.activation(before)


def _silu(inputs: Tensor) -> Tensor:
    return inputs * rounded_to(ops.sigmoid(inputs), UNIT)


def _with_activation(
    layer: keras.layers.Layer, ranged: Ranged, inputs: Tensor, training: bool | None = None
) -> Tensor:
    """A product, whose activation is an operation of its own."""
    activation = layer.activation
    object.__setattr__(layer, "activation", None)
    try:
        before = type(layer).call(layer, inputs)
    finally:
        object.__setattr__(layer, "activation", activation)
    return _activated(layer, ranged, before)


def _separable(
    layer: keras.layers.Layer, ranged: Ranged, inputs: Tensor, training: bool | None = None
) -> Tensor:
    """A depthwise convolution, and a pointwise one."""
    arguments = {"padding": layer.padding, "data_format": layer.data_format}
    kernel = layer.depthwise_kernel
    dilated = {"strides": layer.strides, "dilation_rate": layer.dilation_rate}
    middle = ops.depthwise_conv(inputs, kernel, **dilated, **arguments)
    middle = ranged("depthwise", middle)
    outputs = ops.conv(middle, layer.pointwise_kernel, strides=1, **arguments)
    if layer.use_bias:
        last = layer.data_format == "channels_last"
        shape = (1, *(1,) * layer.rank, -1) if last else (1, -1, *(1,) * layer.rank)
        outputs = outputs + ops.reshape(layer.bias, shape)
    return _activated(layer, ranged, outputs)


def _batch_normalization(
    layer: keras.layers.Layer,
    ranged: Ranged,
    inputs: Tensor,
    training: bool | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """A product with one factor a channel, and a sum: what is left of it after training."""
    shape = [1] * len(inputs.shape)
    shape[layer.axis] = -1
    factor = ops.rsqrt(layer.moving_variance + layer.epsilon)
    if layer.scale:
        factor = factor * layer.gamma
    shift = -layer.moving_mean * factor
    if layer.center:
        shift = shift + layer.beta
    scaled = ranged("scaled", inputs * ops.reshape(factor, shape))
    if training and layer.trainable:
        return layers.BatchNormalization.call(layer, inputs, training=True, mask=mask)
    return scaled + ops.reshape(shift, shape)


_BATCH_NORMALIZATION = Inside(("scaled",), _batch_normalization)
