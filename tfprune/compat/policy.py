"""Pruning policies: which layers of a model to prune, and whether it is worth it."""

import abc
from collections.abc import Callable

import keras
from keras import layers

from tfprune.keras_graph.calls import LayerGraph, layer_graph
from tfprune.keras_graph.sublayers import is_graph
from tfprune.layer_classes.axes import own_weights
from tfprune.support.validation import require_layer, require_model
from tfprune.wrapping.pruned_layer import PrunedLayer


class PruningPolicy(abc.ABC):
    """Base class for the `pruning_policy` of `prune_low_magnitude`.

    Example:
        >>> class DenseOnly(PruningPolicy):
        ...     def allow_pruning(self, layer):
        ...         return isinstance(layer, layers.Dense)
        ...     def ensure_model_supports_pruning(self, model):
        ...         pass
    """

    @abc.abstractmethod
    def allow_pruning(self, layer: keras.layers.Layer) -> bool:
        """Return whether `layer` may be pruned."""

    @abc.abstractmethod
    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        """Raise ValueError if the model must not be pruned at all under this policy."""


class PruneForLatencyOnXNNPack(PruningPolicy):
    """Prune 1x1 convolutions only, in models that XNNPACK can run with sparse kernels.

    Sparse inference starts at a 3x3 convolution of 3 channels with stride 2 and padding "valid"
    behind a `ZeroPadding2D(1)`, on every path from the inputs, and ends at a
    `GlobalAveragePooling2D`, on every path to the outputs. All layers between must be of a kind
    that keeps the channel-first layout of XNNPACK's sparse kernels.

    Source: Elsen et al., "Fast Sparse ConvNets", arXiv 1911.09723.

    Example:
        >>> policy = PruneForLatencyOnXNNPack()
        >>> [policy.allow_pruning(layers.Conv2D(8, size)) for size in (1, 3)]
        [True, False]
    """

    def allow_pruning(self, layer: keras.layers.Layer) -> bool:
        require_layer("layer", layer)
        return isinstance(layer, layers.Conv2D) and tuple(layer.kernel_size) == (1, 1)

    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        """Raise ValueError, naming the first obstacle, if the model has no such sparse part.

        Args:
            model: built Sequential or Functional model, nested ones included.

        Raises:
            ValueError: if there is none, or the model is subclassed or not built.
        """
        require_model("model", model, built=False)
        if not is_graph(model):
            raise ValueError(
                f"Model '{model.name}' must be Sequential or Functional for {_name(self)}. "
                f"Received: a model of class {_name(model)}."
            )
        if not model.built:
            raise ValueError(f"Model '{model.name}' must be built before it is checked.")
        graph = layer_graph(model)
        starts = _frontier(graph.inputs, lambda x: _is_start(x, graph), graph.consumers)
        if not starts:
            raise ValueError(
                f"Model '{model.name}' must have, on every path from its inputs, a Conv2D with 3x3 "
                "kernel, 3 input channels, strides 2 and padding 'valid', behind a "
                "ZeroPadding2D(1)."
            )
        ends = _frontier(graph.outputs, _is_end, graph.producers)
        if not ends:
            raise ValueError(
                f"Model '{model.name}' must have a GlobalAveragePooling2D on every path to its "
                "outputs."
            )

        def checked_end(layer: keras.Operation) -> bool:
            if layer in ends:
                return True
            if not _is_supported(layer, graph):
                raise ValueError(
                    f"Layer '{layer.name}' of class {_name(layer)} must not stand in the part that "
                    f"{_name(self)} makes sparse, as it is configured."
                )
            return False

        _frontier(
            [after for start in starts for after in graph.consumers(start)],
            checked_end,
            graph.consumers,
        )


def _frontier(
    origins: list[keras.Operation],
    is_goal: Callable[[keras.Operation], bool],
    following: Callable[[keras.Operation], list[keras.Operation]],
) -> list[keras.Operation]:
    """Return the first goals on all paths from `origins`; none if a path ends without one."""
    goals = []
    waiting = list(origins)
    seen = set(origins)
    while waiting:
        layer = waiting.pop()
        if is_goal(layer):
            goals.append(layer)
            continue
        further = following(layer)
        if not further:
            return []
        waiting += [item for item in dict.fromkeys(further) if item not in seen]
        seen.update(further)
    return goals


def _is_start(layer: keras.Operation, graph: LayerGraph) -> bool:
    return (
        isinstance(layer, layers.Conv2D)
        and tuple(layer.kernel.shape[:3]) == (3, 3, 3)
        and tuple(layer.strides) == (2, 2)
        and layer.padding == "valid"
        and _zero_padding_before(layer, graph) == 1
    )


def _is_end(layer: keras.Operation) -> bool:
    return isinstance(layer, layers.GlobalAveragePooling2D)


def _is_supported(layer: keras.Operation, graph: LayerGraph) -> bool:
    if isinstance(layer, PrunedLayer):
        layer = layer.layer
    return any(
        isinstance(layer, kind) and accepts(layer, graph) for kind, accepts in _SUPPORTED.items()
    ) or _is_supported_operation(layer)


def _is_supported_operation(operation: keras.Operation) -> bool:
    """Return whether this is `x + y`, `x - y` or `x * y` on tensors, outside any layer."""
    own = type(operation).__module__.startswith("keras.") and not isinstance(
        operation, keras.layers.Layer
    )
    return own and _name(operation) in ("Add", "Subtract", "Multiply")


def _supports_convolution(layer: keras.Operation, graph: LayerGraph) -> bool:
    pointwise = any(own.axes.is_pointwise for own in own_weights(layer))
    return pointwise and tuple(layer.dilation_rate) == (1, 1)


def _supports_depthwise(layer: keras.Operation, graph: LayerGraph) -> bool:
    """Kernel 3x3 or 5x5: padding "same" at stride 1, or "valid" behind zeros of half the kernel."""
    size, strides = tuple(layer.kernel_size), tuple(layer.strides)
    if layer.depth_multiplier != 1 or tuple(layer.dilation_rate) != (1, 1):
        return False
    if size not in ((3, 3), (5, 5)) or strides not in ((1, 1), (2, 2)):
        return False
    if layer.padding == "same":
        return strides == (1, 1)
    return _zero_padding_before(layer, graph) == size[0] // 2


def _zero_padding_before(layer: keras.Operation, graph: LayerGraph) -> int | None:
    """Return p if the only producer is `ZeroPadding2D(p)`, the same on all sides."""
    producers = graph.producers(layer)
    if len(producers) != 1 or not isinstance(producers[0], layers.ZeroPadding2D):
        return None
    widths = {width for side in producers[0].padding for width in side}
    return widths.pop() if len(widths) == 1 else None


def _name(thing: object) -> str:
    return type(thing).__name__


_ACTIVATIONS = ("relu", "relu6", "leaky_relu", "elu", "sigmoid")

_SUPPORTED: dict[type, Callable[[keras.layers.Layer, LayerGraph], bool]] = {
    **dict.fromkeys(
        (
            layers.Add,
            layers.Multiply,
            layers.ZeroPadding2D,
            layers.ReLU,
            layers.LeakyReLU,
            layers.ELU,
            layers.Dropout,
            layers.InputLayer,  # of a nested model
        ),
        lambda layer, graph: True,
    ),
    layers.Conv2D: _supports_convolution,
    layers.DepthwiseConv2D: _supports_depthwise,
    layers.GlobalAveragePooling2D: lambda layer, graph: layer.keepdims,
    layers.BatchNormalization: lambda layer, graph: layer.axis in (-1, 3),
    layers.UpSampling2D: lambda layer, graph: layer.interpolation == "bilinear",
    layers.Activation: lambda layer, graph: (
        keras.activations.serialize(layer.activation) in _ACTIVATIONS
    ),
}
