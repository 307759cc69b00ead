"""Biases as an integer file holds them, so that the file gives what the Keras model does.

A file adds biases to sums of products of integers. So the bias of channel c is an int32 with the
scale of what it is added to, that of the inputs times that of the weights,

    u_c = s_inputs s_c        b_c = u_c round(b_c / u_c)        s_c = max |w_c| / n

with n = 127 levels, or 7 of weights stored in 4 bits. Half a u_c is a small part of an output's
step, and yet enough to turn some outputs to the next integer. In a deep network the few become many
from layer to layer, as each difference moves all that follows. A batch normalization, folded,

    gamma (w x + b - mean) / sqrt(var + epsilon) + beta = a w x + (a (b - mean) + beta),

has the unit |a| u_c; its beta takes the difference, or its mean where it has no beta.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018 (arXiv 1712.05877), section 2.4.

Deviations: biases train unrounded, and are rounded once, afterwards. What is still apart then lies
so close to the middle of two integers that the float32 sums of Keras decide; how much that is, is
measured by `scripts/studies/quantization/agreement.py`.
"""

from collections import Counter

import keras
import numpy as np

from tfprune.compression.folding import channel_kernel, foldable
from tfprune.compression.range_placement import MOVING
from tfprune.export.convert.requirements import check_ranges
from tfprune.keras_graph.calls import Call, Value, flat_calls
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity
from tfprune.support.validation import require_model, require_one_of
from tfprune.targets.target import IN_INTEGERS_THROUGHOUT, QuantizeName
from tfprune.wrapping.pruned_layer import pruned_layers
from tfprune.wrapping.ranges.activation_range import ActivationRange
from tfprune.wrapping.ranges.ranged_layer import ranges_in

_IN_FOUR_BITS = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D)
_BIASED = (
    *_IN_FOUR_BITS,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
)


def round_biases(model: keras.Model, *, quantize: QuantizeName = "int8") -> None:
    """Round the biases of a trained model as its integer file will hold them, in place.

    Call it after the training, before the model is compared with its file: the file then adds
    just the biases that the model does. Biases of Dense, convolutions, depthwise and transposed
    ones are rounded, and the shifts of batch normalizations that the file folds into them; those
    inside other layers, such as attention and recurrence, stay.

    Args:
        model: of `quantize_aware(activations=True)`, which has seen a batch of training.
        quantize: the file that it is for, "int8" or "int4".

    Raises:
        TypeError: if `model` is no `keras.Model`.
        ValueError: if `quantize` is another one, the model does not round its activations, or its
            ranges were never observed.

    Example:
        >>> import tfprune
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="out")])
        >>> model.set_weights([np.array([[127.0]]), np.array([0.8])])
        >>> aware = tfprune.quantize_aware(model, activations=True)
        >>> _ = aware(np.array([[0.0], [255.0]]), training=True)  # steps of 1
        >>> round_biases(aware)
        >>> aware.get_layer("out").layer.bias.numpy().tolist()
        [1.0]
    """
    require_model("model", model, built=False)
    require_one_of("quantize", quantize, IN_INTEGERS_THROUGHOUT)
    if not ranges_in(model):
        raise ValueError(
            "`model` must round its activations: make it by "
            f"`quantize_aware(model, activations=True)`. Received: model={model.name!r}."
        )
    check_ranges(model, quantize=quantize, representative_data=None)
    computed = ByIdentity(
        (own.weight, own.masked_value()) for layer in pruned_layers(model) for own in layer.pruned
    )
    calls, _ = flat_calls(model)
    makers = {value: call for call in calls for value in call.outputs}
    times = Counter(call.operation for call in calls)
    norms = dict(foldable(model))
    for call in calls:
        layer = call.operation
        if not isinstance(layer, _BIASED) or times[layer] > 1:
            continue
        step, found = _step(call.inputs[0], makers), channel_kernel(layer, len(layer.output.shape))
        if step is None or found is None:
            continue
        kernel, axes = found
        levels = 7 if quantize == "int4" and isinstance(layer, _IN_FOUR_BITS) else 127
        value = np.abs(host_array(computed.get(kernel, kernel.value))).astype(float)
        others = tuple(axis for axis in range(value.ndim) if axis not in axes)
        _round(layer, norms.get(layer), step * value.max(axis=others).ravel() / levels)


def _step(value: Value, makers: dict[Value, Call]) -> float | None:
    """The step of the range that a tensor has been rounded to; None if it has not."""
    maker = makers[value]
    while _moves(maker.operation):
        maker = makers[maker.inputs[0]]
    operation = maker.operation
    if not isinstance(operation, ActivationRange):
        return None
    low, high = operation.interval or (
        host_array(operation.low.value),
        host_array(operation.high.value),
    )
    return float(high - low) / (2**operation.bits - 1)


def _moves(operation: keras.Operation) -> bool:
    kind = type(operation)
    return kind.__module__.startswith("keras.") and kind.__name__ in MOVING


def _round(
    layer: keras.layers.Layer, norm: keras.layers.BatchNormalization | None, units: np.ndarray
) -> None:
    """Move a bias, or what a batch normalization adds, to a multiple of the unit of each channel.

    Args:
        layer: the product.
        norm: what is folded into it, if anything.
        units: (channels,), without it; 0 in a channel of zeros, whose unit is not known.
    """
    bias = 0.0 if layer.bias is None else host_array(layer.bias.value).astype(float)
    factor, shift, moved = 1.0, 0.0, layer.bias
    if norm is not None:
        factor = 1.0 / np.sqrt(host_array(norm.moving_variance.value).astype(float) + norm.epsilon)
        factor = factor * host_array(norm.gamma.value) if norm.scale else factor
        shift = -factor * host_array(norm.moving_mean.value)
        shift = shift + host_array(norm.beta.value) if norm.center else shift
        moved = norm.beta if norm.center else norm.moving_mean
    if moved is None:
        return
    units = units * np.abs(factor)
    known = units > 0
    units = np.where(known, units, 1.0)
    added = factor * bias + shift
    change = np.where(known, np.round(added / units) * units - added, 0.0)
    if moved is not layer.bias and moved is not getattr(norm, "beta", None):
        change = -change / np.where(factor == 0, 1.0, factor)
    moved.assign(host_array(moved.value) + change)
