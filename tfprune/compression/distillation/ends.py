"""What the outputs of models are at their end, by their graphs: probabilities, logits or unknown.

Logits and probabilities are looked for behind what keeps them: other types and shapes, means of
several models or places, scaling. A mean or a multiple of softmaxes counts as one softmax, as only
the ratios of its classes are taken.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from tfprune.keras_graph.calls import maker_of
from tfprune.keras_graph.private_keras import Node, arguments_of

_PROBABLE = ("softmax", "sigmoid")
# Names of layers and of operations of `keras.ops`, without "_" and capitals, by what they keep.
_KEEPING = {
    *("activation", "identity", "dropout", "gaussiannoise", "cast", "stopgradient", "average"),
    *("reshape", "flatten", "squeeze", "expanddims", "concatenate", "resizing"),
    *(f"{kind}{n}d" for kind in ("spatialdropout", "cropping", "upsampling") for n in (1, 2, 3)),
    *(f"{where}averagepooling{n}d" for where in ("", "global") for n in (1, 2, 3)),
}
_SCALING = {"add", "multiply", "divide", "truedivide", "rescaling"}  # keep all but a sigmoid
_OF_BOTH_SIGNS = {"subtract", "negative"}  # keep logits alone
_GIVING_LOGITS = {"batchnormalization", "layernormalization", "log", "logsoftmax"}


class End(NamedTuple):
    """What an output went through at the end of its model.

    Args:
        name: "softmax", "sigmoid" or "", where it is neither or does not show.
        axis: of the softmax, counted from the last; None where it has several.
        logits: whether it shows that these are no probabilities.
    """

    name: str = ""
    axis: int | None = -1
    logits: bool = False


_LOGITS = End(logits=True)


def ends_of(model: keras.Model, count: int | None = None) -> list[str]:
    """Return "softmax", "sigmoid" or "" for each output, see `ends_with_axes_of`."""
    return [end.name for end in ends_with_axes_of(model, count)]


def ends_with_axes_of(model: keras.Model, count: int | None = None) -> list[End]:
    """Return what each output went through at the end.

    Args:
        model: built.
        count: number of its outputs, for a model without a graph, of which nothing shows.
    """
    tensors = getattr(model, "outputs", None)
    return [_end_of(tensor) for tensor in tensors] if tensors else [End()] * (count or 1)


def _end_of(outer: Any) -> End:
    node, maker, tensor, rank = maker_of(outer)
    kind = _kind_of(maker)
    activation = getattr(getattr(maker, "activation", None), "__name__", "linear")
    for name, axis in ((activation, -1), (kind, getattr(maker, "axis", -1))):
        if name in _PROBABLE:
            return End(name, _last_axis(axis, rank))
    if kind in _GIVING_LOGITS or activation == "log_softmax":
        return _LOGITS
    if activation != "linear":
        return End()
    if any(hasattr(maker, name) for name in ("kernel", "embeddings")):
        return _LOGITS
    return _kept(kind, node, tensor)


def _kind_of(maker: Any) -> str:
    """Return the name of what Keras has this layer or operation from."""
    kinds = (kind for kind in type(maker).__mro__ if kind.__module__.split(".")[0] == "keras")
    return next(kinds).__name__.lower()


def _kept(kind: str, node: Node, tensor: Any) -> End:
    """Return what is left of the end of a call's inputs."""
    if kind not in _KEEPING | _SCALING | _OF_BOTH_SIGNS | {"relu", "permute", "transpose"}:
        return End()
    before = [*{id(given): given for given in node.input_tensors}.values()]
    ends = {_end_of(given) for given in before}
    end = ends.pop()
    if ends:
        return End()
    if end.logits:
        return End() if kind == "relu" else end
    if kind in ("permute", "transpose"):
        return _moved(end, node.operation, len(tensor.shape))
    if kind in _OF_BOTH_SIGNS or (kind in _SCALING and not _scales(kind, node, len(before))):
        return End()
    if end.name == "sigmoid":
        return End() if kind in _SCALING else end
    return end if all(_same_classes(one.shape, tensor.shape, end.axis) for one in before) else End()


def _scales(kind: str, node: Node, count: int) -> bool:
    """Return whether a call adds up its inputs, scales its only one or adds what is positive."""
    given = [*arguments_of(node).values()]
    if "divide" in kind and not isinstance(given[0], keras.KerasTensor):
        return False
    if kind == "rescaling":
        given = [node.operation.scale, node.operation.offset]
    numbers = [one for one in keras.tree.flatten(given) if not isinstance(one, keras.KerasTensor)]
    positive = all(isinstance(number, (int, float)) and number >= 0 for number in numbers)
    return positive and (count == 1 or kind == "add")


def _same_classes(before: Sequence[Any], after: Sequence[Any], axis: int | None) -> bool:
    """Return whether the axis of the classes, and all behind it, are as they were."""
    kept = axis is not None and tuple(before[axis:]) == tuple(after[axis:])
    return kept or tuple(before) == tuple(after)


def _moved(end: End, operation: Any, rank: int) -> End:
    """Return an end whose axis an operation has moved."""
    if end.name != "softmax" or end.axis is None:
        return end
    axes = getattr(operation, "axes", None)
    dims = getattr(operation, "dims", None)
    if dims is not None:
        axes = (0, *dims)
    order = [axis % rank for axis in axes or range(rank - 1, -1, -1)]
    return End("softmax", order.index(end.axis % rank) - rank)


def _last_axis(axis: Any, rank: int) -> int | None:
    """Return an axis counted from the last; None for several."""
    if isinstance(axis, (list, tuple)) and len(axis) == 1:
        (axis,) = axis
    if not isinstance(axis, int):
        return None
    return axis - rank if axis >= 0 else axis
