"""binarize and ternarize: from a model to one that trains with weights of two or three values."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Literal, get_args

import keras
import numpy as np

from tfprune.compression.few_values.binary import scaled_signs, signs
from tfprune.compression.few_values.ternary_networks import ternary
from tfprune.compression.few_values.trained_ternary import TrainedTernary
from tfprune.compression.finished_models import finished, fix_masks, mask_of_zeros
from tfprune.compression.output_channels import channel_axes
from tfprune.compression.weight_rules import rules_of
from tfprune.keras_graph.rebuilding import outer_layers
from tfprune.layer_classes.prunable import owned_weights, prunable_weights
from tfprune.pruning.saving import wrap_by_recipe
from tfprune.sparsity.rules import first_match
from tfprune.sparsity.schedules import OneShot
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity, each_once
from tfprune.support.configurable import Config, Configurable
from tfprune.support.tensors import OfTensor
from tfprune.support.validation import require_flag, require_one_of
from tfprune.wrapping.plans import joined
from tfprune.wrapping.pruned_layer import PrunedLayer

BinaryScale = Literal["mean", "one"]
TernaryScale = Literal["mean", "trained"]
Per = Literal["channel", "weight"]
Method = Literal["bwn", "binary_connect", "twn", "ttq"]


def binarize(
    model: keras.Model,
    *,
    scale: BinaryScale = "mean",
    per: Per = "channel",
    keep_ends: bool = True,
    rules: Sequence[tuple[str, bool | None]] | None = None,
) -> keras.Model:
    """Return a copy of the model that trains with the signs of its weights.

        Q(w) = a sign(w)

    Compile it, fine-tune it for some epochs, since it is far from the original, and call
    `tfprune.strip_pruning` for the plain model.

    Args:
        model: built model, which is not changed; one that has been pruned must be pruned to the
            end. Its zeros stay zeros, as a third value.
        scale: "mean" (BWN) is the mean magnitude, "one" (BinaryConnect) no scale at all, which
            needs a normalization behind each layer.
        per: whether each output "channel" has an a of its own, or the "weight" has one.
        keep_ends: leave the first and the last layer that have kernels as they are, as all papers
            do; a rule for one of them comes first.
        rules: list of (regex, True), as in `tfprune.prune`; None leaves a weight as it is.

    Returns:
        A model of `PrunedLayer`s, not compiled, which needs no callback in `fit`.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if one is not known, a rule matches nothing, or the model is not built, trains
            with rounded weights already, is not pruned to the end, has no weight that can be
            changed, or cannot be copied.

    Example:
        >>> import tfprune
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[1.0], [-3.0], [0.0]])])
        >>> plain = tfprune.strip_pruning(binarize(model, keep_ends=False))
        >>> plain.get_weights()[0].ravel().tolist()
        [2.0, -2.0, 0.0]
    """
    require_one_of("scale", scale, get_args(BinaryScale))
    method: Method = "bwn" if scale == "mean" else "binary_connect"
    return _with_few_values(model, method, per, keep_ends, rules, "binarized")


def ternarize(
    model: keras.Model,
    *,
    scale: TernaryScale = "mean",
    per: Per = "channel",
    keep_ends: bool = True,
    rules: Sequence[tuple[str, bool | None]] | None = None,
) -> keras.Model:
    """Return a copy of the model that trains with weights of three values, zero among them.

    Args:
        model: as in `tfprune.binarize`.
        scale: "mean" (TWN) is -a, 0 and a, with a the mean magnitude of the large weights;
            "trained" (TTQ) is -n, 0 and p, with n and p trained.
        per: whether each output "channel" has values of its own, or the "weight".
        keep_ends: as in `tfprune.binarize`.
        rules: as in `tfprune.binarize`.

    Returns:
        As in `tfprune.binarize`.

    Raises:
        TypeError, ValueError: as in `tfprune.binarize`.

    Example:
        >>> import tfprune
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[1.0], [-3.0], [0.5]])])
        >>> plain = tfprune.strip_pruning(ternarize(model, keep_ends=False))
        >>> plain.get_weights()[0].ravel().tolist()
        [0.0, -3.0, 0.0]
    """
    require_one_of("scale", scale, get_args(TernaryScale))
    return _with_few_values(
        model, "twn" if scale == "mean" else "ttq", per, keep_ends, rules, "ternarized"
    )


_METHODS = {"bwn": scaled_signs, "binary_connect": signs, "twn": ternary}


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class FewValues(Configurable):
    """Gives weights two or three values; the `quantizer` of a `PrunedLayer`.

    Args:
        method: "bwn", "binary_connect", "twn" or "ttq".
        by_channel: whether each output channel has values of its own.
        chosen: of each prunable weight of the layer, whether it is changed.

    Raises:
        ValueError: if the method is not known.

    Example:
        >>> layer = keras.layers.Dense(2)
        >>> layer.build((None, 3))
        >>> len(FewValues("twn", True, (True,)).assign(layer))
        1
    """

    method: Method
    by_channel: bool
    chosen: tuple[bool, ...]

    def __post_init__(self) -> None:
        require_one_of("method", self.method, get_args(Method))
        object.__setattr__(self, "chosen", tuple(self.chosen))  # configs have lists

    def assign(self, layer: keras.layers.Layer) -> list[OfTensor | None]:
        """Return the rounding of each prunable weight of a layer, None for one that has none."""
        found: list[OfTensor | None] = []
        for (part, weight), chosen in zip(owned_weights(layer), self.chosen, strict=True):
            axes = channel_axes(part, weight) if self.by_channel else ()
            if not chosen:
                found.append(None)
            elif self.method == "ttq":
                found.append(TrainedTernary(tuple(weight.shape), axes))
            else:
                found.append(partial(_METHODS[self.method], axes=axes))
        return found


def _with_few_values(
    model: object, method: Method, per: object, keep_ends: object, rules: object, done: str
) -> keras.Model:
    require_one_of("per", per, get_args(Per))
    require_flag("keep_ends", keep_ends)
    plain = finished(model, f"it is {done}")
    chosen = _chosen(plain, bool(keep_ends), rules, done)
    recipe: list[Config | None] = []
    masks: list[list[np.ndarray]] = []
    for layer in outer_layers(plain):
        weights = prunable_weights(layer)
        taken = tuple(chosen[weight] for weight in weights)
        kept = [_kept(host_array(w.value), own) for w, own in zip(weights, taken, strict=True)]
        masks.append([mask for mask in kept if mask is not None])
        schedules = [None if mask is None else OneShot(1.0 - mask.mean().item()) for mask in kept]
        quantizer = FewValues(method, per == "channel", taken) if any(taken) else None
        options = {"schedule": joined(schedules), "quantizer": quantizer}
        recipe.append(options if masks[-1] else None)
    copy = wrap_by_recipe(plain, recipe)
    for layer, values in zip(outer_layers(copy), masks, strict=True):
        if isinstance(layer, PrunedLayer):
            _begin(layer, values)
    return copy


def _kept(value: np.ndarray, changes: bool) -> np.ndarray | None:
    """Return which entries of a weight are not zero for good; None for one that stays dense."""
    mask = mask_of_zeros(value)
    return np.ones(value.shape, bool) if mask is None and changes else mask


def _begin(layer: PrunedLayer, masks: list[np.ndarray]) -> None:
    fix_masks(layer, masks)
    for own in layer.pruned:
        if isinstance(own.rounding, TrainedTernary):
            own.rounding.begin_at(host_array(own.weight.value))


def _chosen(
    model: keras.Model, keep_ends: bool, rules: object, done: str
) -> ByIdentity[keras.Variable, bool]:
    """Return for each prunable weight whether it is changed."""
    with_kernels = [layer for layer in outer_layers(model) if prunable_weights(layer)]
    kept = with_kernels[:1] + with_kernels[-1:] if keep_ends else []
    ends = each_once(weight for layer in kept for weight in prunable_weights(layer))
    parsed = rules_of(model, rules, _require_true)
    chosen: ByIdentity[keras.Variable, bool] = ByIdentity()
    for weight in prunable_weights(model):
        rule = first_match(parsed, weight.path)
        chosen[weight] = bool(rule.value) if rule else weight not in ends
    if not any(chosen.values()):
        raise ValueError(
            f"Model '{model.name}' has no weight that can be {done}, besides those of its first "
            "and last layer, or rules leave every one as it is. "
            f"Received: keep_ends={keep_ends}, rules={rules!r}."
        )
    return chosen


def _require_true(name: str, value: object) -> bool:
    if value is not True:
        raise ValueError(f"`rules` must have the values True or None. Received: {name}={value!r}.")
    return True
