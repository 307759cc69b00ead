"""What layers inside a model make, beside its outputs."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfprune.compression.distillation.distances import attention_map, mean_square, reduced
from tfprune.keras_graph.calls import graph_of, maker_of
from tfprune.keras_graph.private_keras import calls_of, structures_of, timestep_mask

Pair = tuple[keras.KerasTensor, keras.KerasTensor]  # of the student, of the teacher


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


def axis_of_channels(tensor: Any) -> int:
    """Return the axis of the channels, counted from the last.

    The `data_format` of the layer says it, or the axis of its normalization, or that of the layer
    before where this one keeps places and channels as they are.
    """
    node, layer, made, rank = maker_of(tensor)
    if (known := getattr(layer, "data_format", None)) is not None:
        return 1 - rank if known == "channels_first" else -1
    if isinstance(layer, (keras.layers.BatchNormalization, keras.layers.GroupNormalization)):
        return int(layer.axis) - rank if layer.axis >= 0 else int(layer.axis)
    same = [given for given in node.input_tensors if given.shape == made.shape]
    if not same or hasattr(layer, "kernel") or hasattr(layer, "dims") or hasattr(layer, "axes"):
        return -1
    return axis_of_channels(same[0])


def shape_of(tensor: Any) -> tuple[int | None, ...]:
    """Return the shape of a tensor once its channels are its last axis."""
    shape = [*tensor.shape]
    shape.append(shape.pop(axis_of_channels(tensor)))
    return tuple(shape)


def regressor(
    mine: Any, own: Any, dtype: keras.dtype_policies.DTypePolicy | None = None
) -> keras.layers.Layer | None:
    """Return a layer from the width of one tensor to that of another; None for the same width."""
    shape, width = shape_of(mine), shape_of(own)[-1]
    if shape[-1] == width:
        return None
    layer = keras.layers.Dense(width, dtype=dtype)
    layer.build(shape)
    return layer


def apart_inside(
    pair: Pair, made: tuple[Any, Any], weight: Any, reduction: str, learnt: Any
) -> Any:
    """Return how far what a layer makes is from what the teacher's layer makes.

    Args:
        pair: the tensors of both in the graphs.
        made: what they stand for now.
        weight: one an example; None for none.
        reduction: as in `reduced`.
        learnt: (values) -> those of a hint in the teacher's width; None compares attention maps.
    """
    mask = timestep_mask(made[0])
    masks = [] if mask is None else [mask]
    mine, own = (
        ops.moveaxis(values, axis_of_channels(tensor), -1) for tensor, values in zip(pair, made)
    )
    own = ops.stop_gradient(own)
    if learnt is None:
        each = ops.square(attention_map(mine, masks) - attention_map(own, masks))
    else:
        each = mean_square(learnt(mine), own)
    return reduced(each, weight, masks, reduction)
