"""Batch normalizations taken into the layers before them.

At inference, a batch normalization behind a linear layer with kernel W and bias b is

    gamma (W x + b - mean) / sqrt(var + epsilon) + beta  =  (a W) x + (a (b - mean) + beta),
    a = gamma / sqrt(var + epsilon),

one number a for each channel: a layer of the same kind with another kernel and bias. Runtimes do
this when a model is converted. What is done to the weights before, such as sharing a few values,
is undone by it, so it is done first.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018 (arXiv 1712.05877), section 3.2.
"""

from collections import Counter

import keras
import numpy as np

from tfprune.keras_graph.calls import flat_calls, users_of
from tfprune.keras_graph.chains import Chain
from tfprune.keras_graph.copying import copy_layer
from tfprune.keras_graph.replacing import replace_layers, replaceable_layers, require_replaceable
from tfprune.layer_classes.axes import own_weights
from tfprune.support.arrays import host_array
from tfprune.support.configurable import Config

_BIASED = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Return a copy of the model without the batch normalizations that the layer before can do.

    Those right behind a convolution or a Dense layer that has no activation, whose output nothing
    else reads, are folded into its kernel and bias; all others stay. Outputs at inference are the
    same but for rounding. In training, the statistics are those of the original for good.

    Args:
        model: Sequential or Functional, built, with no `PrunedLayer`; it is not changed. Zeros in
            its kernels stay zeros.

    Returns:
        A model that shares nothing with `model`, not compiled. Where nothing can be folded, a copy.

    Raises:
        TypeError: if `model` is no `keras.Model`.
        ValueError: if it is not built, has no graph, has pruned layers, or cannot be copied.

    Example:
        >>> layers = keras.layers
        >>> norm = layers.BatchNormalization()
        >>> model = keras.Sequential([keras.Input((3,)), layers.Dense(2), norm])
        >>> [type(layer).__name__ for layer in fold_batch_norm(model).layers]
        ['Dense']
    """
    return folded(require_replaceable(model, "fold its batch normalizations"))[0]


def folded(model: keras.Model) -> tuple[keras.Model, set[keras.layers.Layer]]:
    """Return the copy, and those of its layers that do what a batch normalization did.

    Args:
        model: as `require_replaceable` returns it.
    """
    free = {layer for layer, reason in replaceable_layers(model).items() if reason is None}
    chains: dict[keras.layers.Layer, Chain] = {}
    changed: set[keras.layers.Layer] = set()
    for layer, norm in foldable(model):
        if layer in free and norm in free:
            chains[layer], chains[norm] = _joined(layer, norm), Chain()
            changed.update(chains[layer].layers)
    return replace_layers(model, chains), changed


def foldable(
    model: keras.Model,
) -> list[tuple[keras.layers.Layer, keras.layers.BatchNormalization]]:
    """Return the pairs of a layer and the batch normalization right behind it alone."""
    calls, returned = flat_calls(model)
    users = users_of(calls, returned)
    times = Counter(call.operation for call in calls)
    found = []
    for call in calls:
        following = users.get(call.outputs[0], []) if len(call.outputs) == 1 else []
        then = following[0] if len(following) == 1 else None
        if then is None or times[call.operation] + times[then.operation] > 2:
            continue
        layer, norm = call.operation, then.operation
        if not (isinstance(layer, _BIASED) and isinstance(norm, keras.layers.BatchNormalization)):
            continue
        rank = len(call.outputs[0].shape)
        first = getattr(layer, "data_format", None) == "channels_first"
        same_axis = norm.axis % rank == (1 if first else rank - 1)
        linear = layer.activation is keras.activations.linear
        if same_axis and linear and channel_kernel(layer, rank):
            found.append((layer, norm))
    return found


def channel_kernel(
    layer: keras.layers.Layer, rank: int
) -> tuple[keras.Variable, tuple[int, ...]] | None:
    """Return the kernel that makes the channels of the output, and its axes of channels."""
    first = getattr(layer, "data_format", None) == "channels_first"
    for own in own_weights(layer):
        axes = own.axes.writing(1 if first else rank - 1, rank=rank)
        if own.axes.product is not None and axes:
            return own.weight, axes
    return None


def _joined(layer: keras.layers.Layer, norm: keras.layers.BatchNormalization) -> Chain:
    size = norm.moving_mean.shape[0]
    gamma = host_array(norm.gamma.value) if norm.scale else np.ones(size, "float32")
    beta = host_array(norm.beta.value) if norm.center else np.zeros(size, "float32")
    variance = host_array(norm.moving_variance.value).astype("float64")
    factor = gamma / np.sqrt(variance + norm.epsilon)
    found = channel_kernel(layer, len(layer.output.shape))
    assert found is not None
    kernel, axes = found
    shape = [size if at in axes else 1 for at, size in enumerate(kernel.shape)]
    values: list[np.ndarray] = []
    for weight in layer.weights:
        if weight is not layer.bias:
            value = host_array(weight.value)
            scaled = value * factor.reshape(shape) if weight is kernel else value
            values.append(scaled.astype(value.dtype))
    bias = 0.0 if layer.bias is None else host_array(layer.bias.value)
    shifted = (bias - host_array(norm.moving_mean.value)) * factor + beta
    return Chain([copy_layer(layer, _with_bias)], [[*values, shifted.astype("float32")]])


def _with_bias(layer: keras.layers.Layer, config: Config) -> None:
    config["use_bias"] = True
