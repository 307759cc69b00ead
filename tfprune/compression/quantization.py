"""Quantization-aware fine-tuning: weights are rounded as in the exported file while they train.

The forward pass uses Q(mask * weight) in place of mask * weight. For each output channel c, over
all entries of the channel,

    s_c = max |w| / 127        Q(w) = s_c round(w / s_c)

which is how LiteRT stores int8 weights: symmetric, so that zeros stay exactly zero. The gradient
passes straight through, dQ/dw = 1: nothing is clipped, because s_c follows the largest weight.

Keras 3's own `keras.quantizers.fake_quant_with_min_max_vars` is not used: per channel it takes the
last axis alone, which is not where a depthwise or transposed kernel has its output channels, and
off TensorFlow it divides by zero in a channel without weights.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018 (arXiv 1712.05877).

Deviations: weights are symmetric, per channel. Activations are rounded where it is asked for;
otherwise `tfprune.export.to_tflite(quantize="int8")` chooses their ranges afterwards, from
representative data.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import keras
import numpy as np
from keras import ops

from tfprune.compression.clustering.kept_levels import LevelsKept, settle
from tfprune.compression.output_channels import channel_axes
from tfprune.compression.range_placement import RangePlacement
from tfprune.keras_graph.insertion import by_place
from tfprune.keras_graph.rebuilding import outer_layers
from tfprune.layer_classes.prunable import owned_weights, prunable_weights
from tfprune.pruning.saving import wrap_by_recipe
from tfprune.sparsity.schedules import OneShot
from tfprune.sparsity.structures import Unstructured
from tfprune.support.arrays import assign_copy, host_array
from tfprune.support.configurable import Config, Configurable
from tfprune.support.tensors import OfTensor, Tensor
from tfprune.support.validation import require_flag, require_integer, require_model
from tfprune.wrapping.masking import PrunedWeight
from tfprune.wrapping.plans import Quantizer, joined
from tfprune.wrapping.pruned_layer import PrunedLayer, pruned_layers

_ALL_KEPT = OneShot(0.0)


def quantize_aware(
    model: keras.Model,
    *,
    activations: bool = False,
    bits: int = 8,
    preserve_levels: bool = False,
) -> keras.Model:
    """Return a copy of the model that trains with its prunable weights rounded to integers.

    Compile it, fine-tune it as a pruned model (a small learning rate, a few epochs), then call
    `tfprune.strip_pruning`: the plain model has rounded weights, which an export with
    `quantize="int8_weights"`, "dynamic" or "int8" stores without further loss. Activations are
    quantized after training, by "int8", from representative data, unless `activations` is asked.

    Args:
        model: built model, which is not changed. A pruned one keeps its masks and its schedule; in
            a plain one, such as from `strip_pruning`, zeros stay zero (but a weight of zeros alone
            trains freely).
        activations: round activations to 8 bits as well, in ranges that training learns, where
            LiteRT rounds them. Give the trained model itself to
            `tfprune.export.to_tflite(model, path, quantize="int8")`, which then needs no
            representative data. The model must be Sequential or Functional; batch normalization
            stays as it is in training, and is folded into the weights by the export.
        bits: of a weight, integer in [2, 8]. The export stores 8; weights of fewer bits compress
            better, but are rounded again by it.
        preserve_levels: keep few values few: entries of a weight that have the same value, as after
            `tfprune.cluster` and `strip_pruning`, go on sharing one, where a weight, or each of its
            channels, has at most 256.

    Returns:
        A model of `PrunedLayer`s. Masks that are final need no callback in `fit`.

    Raises:
        TypeError: if `model` is no `keras.Model` or `bits` no integer.
        ValueError: if `bits` is out of range, or the model is not built, is quantization-aware
            already, has no prunable weight, or cannot be copied.

    Example:
        >>> import tfprune
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[127.0], [2.6]])])
        >>> plain = tfprune.strip_pruning(quantize_aware(model))
        >>> plain.layers[0].kernel.numpy().ravel().tolist()
        [127.0, 3.0]
    """
    quantizer = ChannelQuantizer(bits)
    require_flag("activations", activations)
    require_flag("preserve_levels", preserve_levels)
    check_model(model)
    placement = RangePlacement(model) if activations else None
    if not preserve_levels:
        return rounded(model, lambda layer: quantizer, placement)
    copy = rounded(model, lambda layer: LevelsKept.of(layer, quantizer), placement)
    settle(copy)
    return copy


def rounded(
    model: keras.Model,
    quantizer_of: Callable[[keras.layers.Layer], Quantizer | None],
    placement: RangePlacement | None,
) -> keras.Model:
    """Return a copy of a model that trains with rounded weights, and activations where asked.

    Args:
        model: that `check_model` takes.
        quantizer_of: layer without wrappers -> what rounds its weights, None to leave them.
        placement: where ranges of activations stand; None for nowhere.
    """
    wrappers = pruned_layers(model)
    step = max((int(host_array(layer.pruning_step.value)) for layer in wrappers), default=0)
    masks: list[list[np.ndarray]] = []
    recipe: list[Config | None] = []
    for layer in outer_layers(model):
        pruned = isinstance(layer, PrunedLayer)
        quantizer = quantizer_of(layer.layer if pruned else layer)
        rounds = pruned or quantizer is not None
        masks.append(_masks(layer, zeros_stay=not wrappers) if rounds else [])
        if not masks[-1]:
            recipe.append(None)
        elif pruned:
            recipe.append({**_options(layer), "quantizer": quantizer})
        else:
            plan = joined([OneShot(1.0 - mask.mean().item()) for mask in masks[-1]])
            recipe.append({"schedule": plan, "quantizer": quantizer})
    inside = placement.inside if placement else ()
    copy = wrap_by_recipe(model, recipe, ranged=inside, insertion=placement)
    copies = outer_layers(copy)
    if placement:  # ranges in between may change the order of layers
        places = {layer: name for name, layer in by_place(model)}
        twins = dict(by_place(copy))
        copies = [twins[places[layer]] for layer in outer_layers(model)]
    for old, layer, values in zip(outer_layers(model), copies, masks, strict=True):
        for own, mask in zip(layer.pruned if values else (), values, strict=True):
            own.mask.assign(mask)
        if values:
            layer.pruning_step.assign(step)
        if isinstance(old, PrunedLayer):
            _go_on(old, layer)
    if placement:
        placement.tell()
    return copy


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class ChannelQuantizer(Configurable):
    """Rounds every weight of a layer per output channel; the `quantizer` of a `PrunedLayer`.

    Args:
        bits: integer in [2, 8].

    Raises:
        TypeError, ValueError: if it is not.

    Example:
        >>> layer = keras.layers.Dense(2)
        >>> layer.build((None, 3))
        >>> (rounding,) = ChannelQuantizer(8).assign(layer)
        >>> ops.convert_to_numpy(rounding(ops.convert_to_tensor([[127.0], [2.6]]))).ravel().tolist()
        [127.0, 3.0]
    """

    bits: int = 8

    def __post_init__(self) -> None:
        if require_integer("bits", self.bits, minimum=2) > 8:
            raise ValueError(f"`bits` must be in [2, 8]. Received: bits={self.bits!r}.")

    def assign(self, layer: keras.layers.Layer) -> list[OfTensor]:
        """Return the rounding function, value -> value, of each prunable weight of a layer."""
        return [
            partial(fake_quantize, bits=self.bits, channels=channel_axes(part, weight))
            for part, weight in owned_weights(layer)
        ]


def fake_quantize(value: Tensor, *, bits: int = 8, channels: tuple[int, ...] = (-1,)) -> Tensor:
    """Return the value rounded to 2^bits - 1 levels, symmetric around 0; its gradient is 1.

    Args:
        value: float tensor.
        bits: integer in [2, 8].
        channels: axes along which each entry has a scale of its own; () for one scale.

    Returns:
        A tensor of the same shape and dtype, zero wherever `value` is.

    Example:
        >>> value = ops.convert_to_tensor([[127.0, 0.0], [2.6, 0.0]])
        >>> ops.convert_to_numpy(fake_quantize(value)).tolist()
        [[127.0, 0.0], [3.0, 0.0]]
    """
    largest = 2 ** (bits - 1) - 1
    kept = {axis % len(value.shape) for axis in channels}
    others = tuple(axis for axis in range(len(value.shape)) if axis not in kept)
    # In half precision, integers times scales would not be those of the float32 export.
    exact = ops.cast(ops.stop_gradient(value), "float32")
    scale = ops.max(ops.abs(exact), axis=others, keepdims=True) / largest
    scale = ops.where(scale > 0, scale, 1.0)
    rounded = ops.cast(ops.round(exact / scale) * scale, value.dtype)
    # Exactly `rounded`, because the difference is exactly 0; its gradient is that of `value`.
    return ops.stop_gradient(rounded) + (value - ops.stop_gradient(value))


def check_model(value: object) -> None:
    """Refuse what is no model that can be made quantization-aware."""
    model = require_model("model", value, built=False)
    wrappers = pruned_layers(model)
    if not model.built or not all(layer.built for layer in wrappers):
        raise ValueError(
            f"Model '{model.name}' must be built: give it a keras.Input, or call it on a batch."
        )
    if any(layer.quantizer is not None for layer in wrappers):
        raise ValueError(f"Model '{model.name}' is quantization-aware already.")
    if not prunable_weights(model):
        raise ValueError(f"Model '{model.name}' has no weight that can be rounded.")
    outer = set(outer_layers(model))
    names = [layer.name for layer in wrappers if layer not in outer]
    if names:
        raise ValueError(
            "A PrunedLayer inside another layer cannot be made quantization-aware: strip the model "
            f"first. Received: {names}."
        )


def _masks(layer: keras.layers.Layer, *, zeros_stay: bool) -> list[np.ndarray]:
    """Return the mask of each prunable weight of a layer.

    Args:
        layer: which may be a `PrunedLayer`.
        zeros_stay: whether the zeros of a plain layer are those of a mask.
    """
    weights = prunable_weights(layer.layer if isinstance(layer, PrunedLayer) else layer)
    masks = [np.ones(weight.shape, bool) for weight in weights]
    if isinstance(layer, PrunedLayer):
        pruned = _pruned_or_dense(layer)
        return [host_array(own.mask.value) if own else ones for own, ones in zip(pruned, masks)]
    if not zeros_stay:
        return masks
    nonzeros = [host_array(weight.value) != 0 for weight in weights]
    return [kept if kept.any() else ones for kept, ones in zip(nonzeros, masks)]


def _options(wrapper: PrunedLayer) -> Config:
    """The arguments of a wrapper, with weights that it leaves dense as weights all kept."""
    owned = _pruned_or_dense(wrapper)
    return {
        "schedule": joined([own.schedule if own else _ALL_KEPT for own in owned]),
        "structure": joined([own.structure if own else Unstructured() for own in owned]),
        "scorer": wrapper.scorer,
        "distribution": wrapper.distribution,
    }


def _go_on(old: PrunedLayer, new: PrunedLayer) -> None:
    """Set the step of a layer, which may have missed updates, and the scores that it goes on from.

    Args:
        old: built, as it was pruned.
        new: with a pruned weight for each prunable one.
    """
    assign_copy(new.pruning_step, old.pruning_step.value)
    for before, after in zip(_pruned_or_dense(old), new.pruned, strict=True):
        if before is not None and before.past is not None and after.past is not None:
            assign_copy(after.past.values, before.past.values.value)
            assign_copy(after.past.known, before.past.known.value)


def _pruned_or_dense(wrapper: PrunedLayer) -> list[PrunedWeight | None]:
    """Return what is pruned of each prunable weight of the wrapped layer, None for a dense one."""
    return [
        next((own for own in wrapper.pruned if own.weight is weight), None)
        for weight in prunable_weights(wrapper.layer)
    ]
