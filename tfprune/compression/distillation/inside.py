"""What layers inside a model make, beside its outputs."""

from collections.abc import Sequence
from typing import Any

import keras

from tfprune.keras_graph.calls import graph_of
from tfprune.keras_graph.private_keras import calls_of, structures_of


def made_by(option: str, model: keras.Model, name: str) -> keras.KerasTensor:
    """Return what a layer makes in its one call in the graph of a model.

    `layer.output` is of the layer's first call anywhere: in another model, in a Sequential model
    before it got its next layer, or inside a nested model.

    Args:
        option: argument that names the layer, for messages.
        model: built.
        name: of the layer.

    Raises:
        ValueError: if the model has no graph, or that has no such layer, calls it more than once
            or gets several outputs from it.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="a")])
        >>> made_by("hints", model, "a") is model.outputs[0]
        True
    """
    graph = graph_of(model)
    if graph is None:
        raise ValueError(
            f"`{option}` needs Sequential or Functional models, whose graphs show what layers "
            f"make. Received: {name!r} of '{model.name}' (of type {type(model).__name__})."
        )
    nodes = list(calls_of(graph))
    calls = [node for node in nodes if node.operation.name == name]
    if not calls:
        known = dict.fromkeys(node.operation.name for node in nodes if not node.is_input)
        raise ValueError(
            f"`{option}` must name layers of both models. Received: {name!r}, which is no layer "
            f"of '{model.name}'; it has {', '.join(list(known)[:8])}."
        )
    if len(calls) > 1:
        raise ValueError(
            f"`{option}` must name layers that are called once. Received: {name!r}, which "
            f"'{model.name}' calls {len(calls)} times."
        )
    made = calls[0].output_tensors
    if len(made) != 1:
        raise ValueError(
            f"`{option}` must name layers with one output. Received: {name!r} of "
            f"'{model.name}', which has {len(made)}."
        )
    return made[0]


def watched(model: keras.Model, made: Sequence[keras.KerasTensor]) -> keras.Model | None:
    """Return a model of the same layers that returns some tensors of its graph, too."""
    if not made:
        return None
    graph = graph_of(model)
    assert graph is not None  # `made_by` has found the tensors there
    taken, returned = structures_of(graph)
    return keras.Model(taken, [returned, [*made]])


def regressor(mine: Any, own: Any) -> keras.layers.Layer | None:
    """Return a layer from the width of one tensor to that of another; None for the same width."""
    if mine.shape[-1] == own.shape[-1]:
        return None
    layer = keras.layers.Dense(own.shape[-1])
    layer.build(mine.shape)
    return layer
