"""Replacing layers of a graph by others: what factors, folds and structured matrices need."""

import keras

from tfprune.keras_graph.chains import Chains
from tfprune.keras_graph.rebuilding import outer_layers, rebuild
from tfprune.keras_graph.sublayers import children, is_graph
from tfprune.support.by_identity import each_once
from tfprune.support.validation import require_model
from tfprune.wrapping.pruned_layer import pruned_layers


def replace_layers(model: keras.Model, chains: Chains) -> keras.Model:
    """Return a copy of a model in which chains of layers stand for some of its layers.

    A layer that the graph calls more than once is replaced everywhere by the same chain. All other
    layers are copied with their values, ties and settings.

    Args:
        model: Sequential or Functional, built, with no `PrunedLayer`; it is not changed.
        chains: layer of the model, or of a graph inside it -> what stands for it. Each of
            `replaceable_layers(model)` may be replaced.

    Returns:
        A model that shares nothing with `model`, not compiled.

    Raises:
        ValueError: if a layer cannot be copied.

    Example:
        >>> from tfprune.keras_graph.chains import Chain
        >>> dense = keras.layers.Dense(2, use_bias=False, name="a")
        >>> model = keras.Sequential([keras.Input((3,)), dense, keras.layers.ReLU(name="b")])
        >>> names = lambda model: [layer.name for layer in model.layers]
        >>> names(replace_layers(model, {model.layers[1]: Chain()}))
        ['a']
    """
    return rebuild(model, lambda layer, copy: copy, chains=chains)


def require_replaceable(model: object, what: str) -> keras.Model:
    """Return the argument if its layers can be replaced.

    Args:
        model: argument of that name.
        what: is to be done, for the message, as "be factorized".

    Raises:
        TypeError: if it is no `keras.Model`.
        ValueError: if it is not built, has no graph, or has a `PrunedLayer`.
    """
    known = require_model("model", model)
    if not is_graph(known):
        raise ValueError(
            f"`model` must be Sequential or Functional to {what}: layers can be replaced in a "
            f"graph only. Received: model={known.name!r} of class {type(known).__name__}."
        )
    wrapped = [layer.name for layer in pruned_layers(known)]
    if wrapped:
        raise ValueError(
            f"`model` must have no pruned layers to {what}: call tfprune.strip_pruning(model) "
            f"first. Received: model={known.name!r} with pruned layers {wrapped}."
        )
    return known


def replaceable_layers(model: keras.Model) -> dict[keras.layers.Layer, str | None]:
    """Return each layer of a model with the reason why it cannot be replaced, None where it can.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="a")])
        >>> {layer.name: reason for layer, reason in replaceable_layers(model).items()}
        {'a': None}
    """
    reasons: dict[keras.layers.Layer, str | None] = {}
    in_graph = set(_layers_in_graphs(model))
    layers = outer_layers(model)
    held = each_once(child for layer in layers for _, child in children(layer))
    for layer in layers:
        others = each_once(v for other in layers if other is not layer for v in other.variables)
        if layer not in in_graph:
            reasons[layer] = "it is in a subclassed model, which has no graph"
        elif layer in held or any(variable in others for variable in layer.variables):
            reasons[layer] = "another layer uses its weights"
        else:
            reasons[layer] = None
    return reasons


def _layers_in_graphs(model: keras.Model) -> list[keras.layers.Layer]:
    found: list[keras.layers.Layer] = []
    for layer in model.layers if is_graph(model) else []:
        found += _layers_in_graphs(layer) if isinstance(layer, keras.Model) else [layer]
    return found
