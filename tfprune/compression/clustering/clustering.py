"""cluster: from a model to one whose kernels have a few values each, which training moves."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, Literal

import keras
import numpy as np

from tfprune.calibration.source import EvidenceOptions
from tfprune.calibration.weight_scores import scores_of_weights
from tfprune.compression.clustering.levels import STARTS, Start
from tfprune.compression.clustering.shared import Shared, share
from tfprune.compression.clustering.sharing import (
    Gradient,
    LevelsOfWeight,
    SharedValues,
    require_levels,
)
from tfprune.compression.finished_models import finished, fix_masks, mask_of_zeros
from tfprune.compression.folding import folded
from tfprune.compression.output_channels import channel_axes
from tfprune.compression.weight_rules import rules_of
from tfprune.keras_graph.rebuilding import outer_layers
from tfprune.keras_graph.sublayers import is_graph
from tfprune.layer_classes.prunable import owned_weights, prunable_weights
from tfprune.pruning.saving import wrap_by_recipe
from tfprune.scorers import fisher
from tfprune.scorers.protocol import Arrays, Evidence
from tfprune.sparsity.rules import first_match
from tfprune.sparsity.schedules import OneShot
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity
from tfprune.support.configurable import Config
from tfprune.support.tensors import Data, Loss
from tfprune.support.validation import require_flag, require_one_of, require_seed
from tfprune.wrapping.plans import joined
from tfprune.wrapping.pruned_layer import PrunedLayer

Per = Literal["weight", "channel"]


def cluster(
    model: keras.Model,
    levels: int = 16,
    *,
    per: Per | None = None,
    init: Start = "exact",
    preserve_zeros: bool = True,
    gradient: Gradient = "sum",
    rules: Sequence[tuple[str, int | None]] | None = None,
    data: Data | None = None,
    loss: Loss = None,
    examples: int | None = 1000,
    seed: int = 0,
) -> keras.Model:
    """Return a copy of the model in which each kernel has at most `levels` different values.

    The values are those of k-means. Compile the copy, fine-tune it with a small learning rate, and
    call `tfprune.strip_pruning`: the plain model has no more values in a kernel, which compress to
    log2(levels) bits a weight or less.

    Batch normalizations are folded into the layers before them first (`tfprune.fold_batch_norm`),
    as runtimes do, which would give each channel its own multiple of the values.

    Args:
        model: built model, which is not changed. One that has been pruned to the end keeps its
            zeros; so does a plain one.
        levels: of a kernel, zero among them if it has zeros; integer in [2, 256].
        per: whether the "weight" has these levels, or each output "channel" of it levels of its
            own. By default, channels for kernels into which a batch normalization was folded, the
            weight for all others.
        init: "exact" is the best clustering by squared error, "fisher" the best by squared error
            times the Fisher information of each weight, which needs `data` and a loss; "linear",
            "random", "density" and "kmeans++" start Lloyd's iterations from even or random steps
            between the extremes, even shares of the weights, and random weights far apart.
        preserve_zeros: keep zeros out of the clusters, and zero in training.
        gradient: of a level, the "sum" (of the paper) or the "mean" of those of its weights.
        rules: list of (regex, levels), as in `tfprune.prune`; None leaves a weight as it is.
        data: examples with targets, for "fisher" alone, as in `tfprune.one_shot`.
        loss: as in `keras.Model.compile`; that of the model by default.
        examples: most examples used for "fisher"; None uses all.
        seed: of "kmeans++", "random" and of the choice of examples.

    Returns:
        A model of `PrunedLayer`s, not compiled, which needs no callback in `fit`. Optimizers that
        treat each entry by its gradient (SGD, Adam, RMSprop) move all weights of a level together.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if one is out of range, `data` is missing or useless, a rule matches nothing, or
            the model is not built, is quantization-aware or clustered already, is not pruned to the
            end, has no weight that can be clustered, or cannot be copied.

    Example:
        >>> import tfprune
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[1.0], [1.5], [0.0], [-3.0]])])
        >>> plain = tfprune.strip_pruning(cluster(model, 3))
        >>> plain.get_weights()[0].ravel().tolist()
        [1.25, 1.25, 0.0, -3.0]
    """
    require_levels("levels", levels)
    require_one_of("init", init, STARTS)
    require_one_of("gradient", gradient, ("sum", "mean"))
    if per is not None:
        require_one_of("per", per, ("weight", "channel"))
    require_flag("preserve_zeros", preserve_zeros)
    require_seed("seed", seed)
    options = EvidenceOptions(data, loss, examples, verbose=False)
    if (init == "fisher") != (data is not None):
        raise ValueError(
            "`data` must be given for init='fisher', and only then. "
            f"Received: init={init!r}, data={'None' if data is None else type(data).__name__}."
        )
    plain, by_channel = _folded(finished(model, "its weights are clustered"))
    asked = _asked(plain, levels, rules)
    importance: ByIdentity[keras.Variable, np.ndarray] = ByIdentity()
    if init == "fisher":
        known = [w for w in prunable_weights(plain) if w.trainable and asked[w]]
        importance = scores_of_weights(plain, known, FisherInformation(), options, seed, model)
    channels = set(outer_layers(plain)) if per == "channel" else by_channel
    how = How(init, preserve_zeros, gradient, importance, seed)
    return with_shared_values(plain, asked, set() if per == "weight" else channels, how)


@dataclasses.dataclass(frozen=True)
class How:
    """How values are chosen and trained: options of `cluster`, and the importance of weights."""

    start: Start
    preserve_zeros: bool
    gradient: Gradient = "sum"
    importance: ByIdentity[keras.Variable, np.ndarray] = dataclasses.field(
        default_factory=ByIdentity
    )
    seed: int = 0


def with_shared_values(
    model: keras.Model,
    levels: Mapping[keras.Variable, int | None],
    by_channel: Collection[keras.layers.Layer],
    how: How,
) -> keras.Model:
    """Return a copy of a plain model with a few values in its weights.

    Args:
        model: built, without `PrunedLayer`s.
        levels: of each of its prunable weights; None leaves it as it is.
        by_channel: layers in which each output channel has levels of its own.
        how: values are chosen and trained.
    """
    recipe: list[Config | None] = []
    chosen: list[list[Shared | None]] = []
    masks: list[list[np.ndarray | None]] = []
    for layer in outer_layers(model):
        owned = owned_weights(layer)
        counts = [levels[weight] for _, weight in owned]
        shared = [
            _share(part, weight, count, layer in by_channel, how) if count else None
            for (part, weight), count in zip(owned, counts, strict=True)
        ]
        chosen.append(shared)
        masks.append(
            [
                own.mask if own else _zeros_left(weight, how)
                for own, (_, weight) in zip(shared, owned, strict=True)
            ]
        )
        wrapped = any(mask is not None for mask in masks[-1])
        recipe.append(_options(shared, masks[-1], how.gradient) if wrapped else None)
    copy = wrap_by_recipe(model, recipe)
    for layer, found, kept in zip(outer_layers(copy), chosen, masks, strict=True):
        if isinstance(layer, PrunedLayer):
            _fill(layer, found, kept)
    return copy


def _zeros_left(weight: keras.Variable, how: How) -> np.ndarray | None:
    """Return the mask of a weight that is left as it is, None if it has no zeros to keep."""
    return mask_of_zeros(host_array(weight.value)) if how.preserve_zeros else None


def _share(
    part: keras.layers.Layer, weight: keras.Variable, count: int, by_channel: bool, how: How
) -> Shared:
    return share(
        host_array(weight.value),
        count,
        axes=channel_axes(part, weight) if by_channel else (),
        preserve_zeros=how.preserve_zeros,
        start=how.start,
        importance=how.importance.get(weight),
        seed=how.seed,
    )


@dataclasses.dataclass(frozen=True)
class FisherInformation:
    """Scores each weight by the diagonal of the empirical Fisher information."""

    needs: ClassVar[frozenset[str]] = frozenset({"gradients"})

    def __call__(self, weights: Arrays, evidence: Evidence) -> Arrays:
        return fisher.diagonal(weights, evidence)


def _folded(model: keras.Model) -> tuple[keras.Model, set[keras.layers.Layer]]:
    return folded(model) if is_graph(model) else (model, set())


def _asked(
    model: keras.Model, levels: int, rules: object
) -> ByIdentity[keras.Variable, int | None]:
    """Return the levels of each prunable weight, None to leave it as it is."""
    parsed = rules_of(model, rules, require_levels)
    asked: ByIdentity[keras.Variable, int | None] = ByIdentity()
    for weight in prunable_weights(model):
        rule = first_match(parsed, weight.path)
        asked[weight] = rule.value if rule else levels
    if not any(asked.values()):
        raise ValueError(
            f"Model '{model.name}' has no weight that can be clustered, or rules leave every one "
            f"as it is. Received: rules={rules!r}."
        )
    return asked


def _options(
    shared: Sequence[Shared | None], masks: Sequence[np.ndarray | None], gradient: Gradient
) -> Config:
    """Return the arguments of the wrapper of a layer."""
    schedules = [None if mask is None else OneShot(1.0 - mask.mean().item()) for mask in masks]
    levels = tuple(own.levels if own else None for own in shared)
    channels = tuple(own.axes if own else () for own in shared)
    quantizer = SharedValues(levels, channels, gradient) if any(shared) else None
    return {"schedule": joined(schedules), "quantizer": quantizer}


def _fill(
    layer: PrunedLayer, shared: Sequence[Shared | None], masks: Sequence[np.ndarray | None]
) -> None:
    """Give the weights of a wrapped layer their values, masks and levels."""
    wrapped = [(own, mask) for own, mask in zip(shared, masks, strict=True) if mask is not None]
    for weight, (own, _) in zip(layer.pruned, wrapped, strict=True):
        if own:
            assert isinstance(weight.rounding, LevelsOfWeight)
            weight.weight.assign(own.values)
            weight.rounding.index.assign(own.index)
    fix_masks(layer, [mask for _, mask in wrapped])
