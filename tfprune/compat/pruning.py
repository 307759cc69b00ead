"""prune_low_magnitude, prune_scope and strip_pruning."""

import contextlib
import re
import warnings
from collections.abc import Sequence
from typing import Any

import keras

from tfprune.compat.policy import PruningPolicy
from tfprune.compat.schedules import ConstantSparsity, PruningSchedule, to_core
from tfprune.keras_graph.copying import also_known
from tfprune.keras_graph.private_keras import first_input_shape, set_first_input_shape
from tfprune.keras_graph.rebuilding import outer_layers
from tfprune.layer_classes import prunable
from tfprune.pruning import prune_model, strip
from tfprune.sparsity.contract import Structure, pattern_sparsity
from tfprune.sparsity.schedules import Schedule
from tfprune.sparsity.structures import Block, NofM, Unstructured
from tfprune.support.validation import require_integer, require_one_of
from tfprune.wrapping.pruned_layer import PrunedLayer

_POOLING = {"AVG": "avg", "MAX": "max"}
_LAYER_OPTIONS = ("input_shape", "name", "trainable")


def prune_low_magnitude(
    to_prune: keras.layers.Layer | list[keras.layers.Layer],
    pruning_schedule: PruningSchedule | Schedule = ConstantSparsity(0.5, 0),
    block_size: tuple[int, int] = (1, 1),
    block_pooling_type: str = "AVG",
    pruning_policy: PruningPolicy | None = None,
    sparsity_m_by_n: tuple[int, int] | None = None,
    **kwargs: Any,
) -> keras.layers.Layer | list[keras.layers.Layer]:
    """Wrap a model, a layer or a list of layers for pruning by magnitude.

    Args:
        to_prune: a built `keras.Model` (see `tfprune.prune`), a layer, or a list of layers. In a
            list, input layers and layers that are wrapped already are kept as they are.
        pruning_schedule: a `PruningSchedule`, or any schedule that `tfprune.prune` takes.
        block_size: (height, width), positive integers: the weights pruned together.
        block_pooling_type: "AVG" or "MAX": the score of a block, from its magnitudes.
        pruning_policy: decides which layers are pruned; all that can be, by default.
        sparsity_m_by_n: (m, n): m zeros in every n consecutive entries along the input axis, with
            0 < m < n. The schedule's steps are followed, to a final sparsity of m/n.
        **kwargs: for a layer only: `input_shape` (for the first layer of a Sequential model),
            `name`, `trainable`.

    Returns:
        For a model, a pruned copy. For a layer, a `tfprune.PrunedLayer` around that same layer,
        or the layer itself if it has nothing to prune or the policy excludes it. For a list, a
        list of these; a warning names layers of unknown classes in it, which stay as they are.

    Raises:
        TypeError: if an argument is of the wrong kind or a keyword is unknown.
        ValueError: if a value is out of range, a layer is of a class whose weights are not known,
            the policy excludes every layer, or as `tfprune.prune` and `tfprune.PrunedLayer`.

    Example:
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
        >>> pruned = prune_low_magnitude(model, ConstantSparsity(0.75, 0), block_size=(4, 1))
        >>> pruned.layers[0].structure
        Block(height=4, width=1, pooling='avg')
    """
    structure = _structure(block_size, block_pooling_type, sparsity_m_by_n)
    schedule = to_core(pruning_schedule, pattern_sparsity=pattern_sparsity(structure))
    if pruning_policy is not None and not isinstance(pruning_policy, PruningPolicy):
        raise TypeError(
            "`pruning_policy` must be a PruningPolicy. "
            f"Received: pruning_policy={pruning_policy!r}."
        )
    is_layer = isinstance(to_prune, keras.layers.Layer) and not isinstance(to_prune, keras.Model)
    require_known_keywords("prune_low_magnitude", kwargs, _LAYER_OPTIONS if is_layer else ())
    if isinstance(to_prune, list):
        return _prune_list(to_prune, schedule, structure, pruning_policy)
    if is_layer:
        if pruning_policy is None and _is_unknown(to_prune):
            raise ValueError(
                "`to_prune` must have weights that can be pruned. Received: layer "
                f"'{to_prune.name}'; {prunable.explain_skip(to_prune)}."
            )
        return _prune_layer(to_prune, schedule, structure, pruning_policy, **kwargs)
    if isinstance(to_prune, keras.Model):
        return _prune_model(to_prune, schedule, structure, pruning_policy)
    raise TypeError(
        "`to_prune` must be a keras.Model, a keras.layers.Layer or a list of layers (of Keras 3). "
        f"Received: to_prune={to_prune!r} (of type {type(to_prune).__name__})."
    )


def prune_scope() -> contextlib.AbstractContextManager[object]:
    """Return a context manager in which pruned models can be loaded; they can without it too.

    Example:
        >>> with prune_scope():
        ...     loaded = keras.saving.get_registered_object("PrunedLayer")
        >>> loaded is PrunedLayer
        True
    """
    return also_known({"PrunedLayer": PrunedLayer})


def strip_pruning(model: keras.Model) -> keras.Model:
    """Return a plain copy of a pruned model, with zeros where the masks are.

    See `tfprune.strip_pruning`, which this is.

    Example:
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
        >>> type(strip_pruning(prune_low_magnitude(model)).layers[0]).__name__
        'Dense'
    """
    return strip.strip_pruning(model)


def _structure(block_size: object, pooling: str, m_by_n: object) -> Structure:
    height, width = _pair("block_size", block_size)
    require_one_of("block_pooling_type", pooling, tuple(_POOLING))
    if m_by_n is None:
        dense = height == width == 1
        return Unstructured() if dense else Block(height, width, _POOLING[pooling])
    zeros, size = _pair("sparsity_m_by_n", m_by_n)
    if zeros >= size:
        raise ValueError(
            "`sparsity_m_by_n` must be (m, n) with m < n: m zeros in every n weights. "
            f"Received: sparsity_m_by_n={m_by_n!r}."
        )
    if (height, width) != (1, 1):
        raise ValueError(
            "`block_size` must be (1, 1) where `sparsity_m_by_n` is given. "
            f"Received: block_size={block_size!r}, sparsity_m_by_n={m_by_n!r}."
        )
    return NofM(size - zeros, size)


def _pair(name: str, value: object) -> tuple[int, int]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise TypeError(f"`{name}` must be a pair of integers. Received: {name}={value!r}.")
    first, second = (require_integer(name, item, minimum=1) for item in value)
    return first, second


def require_known_keywords(function: str, kwargs: dict[str, object], known: Sequence[str]) -> None:
    """Raise TypeError for a keyword that a function does not have.

    Args:
        function: name of the function.
        kwargs: what it was called with.
        known: what it takes.
    """
    for name in kwargs:
        if name not in known:
            also = f" (a layer may have {', '.join(known)})" if known else ""
            raise TypeError(
                f"`{function}` has no argument {name!r}{also}. "
                f"Received: {name}={kwargs[name]!r}."
            )


def _prune_model(
    model: keras.Model, schedule: Schedule, structure: Structure, policy: PruningPolicy | None
) -> keras.Model:
    rules: list[tuple[str, None]] = []
    if policy is not None:
        policy.ensure_model_supports_pruning(model)
        excluded = _excluded_paths(model, policy)
        if excluded == sorted({w.path for w in prunable.prunable_weights(model)}):
            raise ValueError(
                "`pruning_policy` must allow at least one layer that can be pruned. Received: "
                f"{policy!r}, which excludes all of model '{model.name}': {', '.join(excluded)}."
            )
        rules = [(f"^{re.escape(path)}", None) for path in excluded]
    return prune_model.prune(model, schedule, structure=structure, rules=rules)


def _excluded_paths(model: keras.Model, policy: PruningPolicy) -> list[str]:
    """Return the paths of the prunable weights in layers that the policy does not allow."""
    paths: dict[bool, set[str]] = {True: set(), False: set()}
    for layer in outer_layers(model):
        found = {weight.path for weight in prunable.prunable_weights(layer)}
        paths[bool(policy.allow_pruning(layer))] |= found
    both = sorted(paths[True] & paths[False])
    if both:
        raise ValueError(
            "Layers must have different names where the pruning policy tells them apart. "
            f"Received: two weights named '{both[0]}'."
        )
    return sorted(paths[False])


def _prune_list(
    members: list[keras.layers.Layer],
    schedule: Schedule,
    structure: Structure,
    policy: PruningPolicy | None,
) -> list[keras.layers.Layer]:
    kept = (PrunedLayer, keras.layers.InputLayer, keras.KerasTensor)
    for index, member in enumerate(members):
        if not isinstance(member, (keras.layers.Layer, *kept)) or isinstance(member, keras.Model):
            raise TypeError(
                "`to_prune` must be a list of layers. "
                f"Received: to_prune[{index}]={member!r} (of type {type(member).__name__})."
            )
    for layer in members:
        if not isinstance(layer, kept) and policy is None and _is_unknown(layer):
            warnings.warn(
                f"Layer '{layer.name}' stays dense: {prunable.explain_skip(layer)}.", stacklevel=3
            )
    return [
        member if isinstance(member, kept) else _prune_layer(member, schedule, structure, policy)
        for member in members
    ]


def _is_unknown(layer: keras.layers.Layer) -> bool:
    """Whether the layer is built, has weights, and its class says nothing of them."""
    foreign = not type(layer).__module__.startswith("keras.")
    return foreign and bool(layer.weights) and not prunable.may_be_prunable(layer)


def _prune_layer(
    layer: keras.layers.Layer,
    schedule: Schedule,
    structure: Structure,
    policy: PruningPolicy | None,
    *,
    input_shape: tuple[int | None, ...] | None = None,
    name: str | None = None,
    trainable: bool | None = None,
) -> keras.layers.Layer:
    pruned = layer
    wrapped = isinstance(layer, PrunedLayer)  # PrunedLayer refuses it, in its own words
    allowed = policy is None or policy.allow_pruning(layer)
    if allowed and (wrapped or prunable.may_be_prunable(layer)):
        pruned = PrunedLayer(layer, schedule, structure=structure, name=name)
    if trainable is not None:
        pruned.trainable = trainable
    shape = input_shape or first_input_shape(layer)
    if shape is not None:
        set_first_input_shape(pruned, shape)
    return pruned
