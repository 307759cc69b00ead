"""Where ranges of activations stand in the graph of a model, so that LiteRT finds each it needs.

LiteRT rounds what an operator gives out, after what it fuses into it. So a range stands after a
convolution or product with its batch normalization and relu, not between them; none stands after
what only moves or selects values, which keep the scale they came with; and inputs of a
concatenation that go nowhere else are left to the range of the result, so that all have one scale.
What has no integer kernel stays in float32: its inputs are the rounded ones, and its output is
rounded where an integer operator takes it.
"""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import layers

from tfprune.keras_graph.calls import graph_of
from tfprune.keras_graph.private_keras import Node, calls_of
from tfprune.wrapping.pruned_layer import PrunedLayer
from tfprune.wrapping.ranges.activation_range import ActivationRange, Interval
from tfprune.wrapping.ranges.insides import FIXED, KNOWN, PRODUCTS, activation_name, fuses
from tfprune.wrapping.ranges.ranged_layer import has_inside

# Layers and operations (their class names) whose outputs have the scale of their inputs.
MOVING = frozenset(
    "Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianNoise GaussianDropout "
    "AlphaDropout ActivityRegularization Identity Flatten Reshape Permute RepeatVector "
    "Cropping1D Cropping2D Cropping3D ZeroPadding1D ZeroPadding2D ZeroPadding3D "
    "UpSampling1D UpSampling2D MaxPooling1D MaxPooling2D AveragePooling1D AveragePooling2D "
    "GlobalMaxPooling1D GlobalMaxPooling2D Transpose Squeeze ExpandDims GetItem MaxPool "
    "AveragePool Swapaxes Moveaxis Ravel Split Pad".split()
)
_JOINING = frozenset(("Concatenate",))
_SUMS = frozenset(("Add", "Subtract", "Multiply"))  # relu is fused into them
_OTHERS = frozenset(
    "Average Maximum Minimum Dot GlobalAveragePooling1D GlobalAveragePooling2D Mean Matmul "
    "Embedding Bidirectional".split()
)
_OPERATIONS = {"Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Tanh": "tanh"} | {
    "Softmax": "softmax",
    "Silu": "silu",
    "Gelu": "gelu",
    "LeakyRelu": "leaky_relu",
    "Elu": "elu",
}
_FOLDING = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
_ACTIVATIONS = (layers.Activation, layers.ReLU, layers.Softmax, layers.LeakyReLU, layers.ELU)


@dataclasses.dataclass(frozen=True)
class Outputs:
    """How the outputs of a layer are rounded.

    Attributes:
        rounded: whether a range stands after it.
        bits: of the range.
    """

    rounded: bool = True
    bits: int = 8


@dataclasses.dataclass(eq=False)
class RangePlacement:
    """The ranges of one model; `insertion` of `tfprune.keras_graph.rebuilding.rebuild`.

    Args:
        model: built, Sequential or Functional, whose nested models are so too.
        chosen: layers, without wrappers, that compute in integers; None for all that can.

    Attributes:
        inside: layers that have ranges inside.
        in_float: name of a layer or operation that computes in float32 -> why.
    """

    model: keras.Model
    chosen: Mapping[keras.layers.Layer, Outputs] | None = None
    inside: set[keras.layers.Layer] = dataclasses.field(default_factory=set)
    in_float: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self._after: dict[Node, list[Interval | bool]] = {}
        self._inputs: list[bool] = []
        self._study(self.model)

    def after_input(self, model: keras.Model, index: int) -> ActivationRange | None:
        if model is not self.model or not self._inputs[index]:
            return None
        return ActivationRange(name=f"range_of_input_{index}")

    def after(self, model: keras.Model, node: Node) -> Sequence[ActivationRange | None]:
        name = node.operation.name
        wanted = self._after[node]
        number = [f"_{index}" if index else "" for index in range(len(wanted))]
        bits = _outputs(self.chosen, _Graph.operation(node)).bits
        return [_range(item, bits, f"range_after_{name}{end}") for item, end in zip(wanted, number)]

    def tell(self) -> None:
        """Warn once, with reasons, of what computes in float32."""
        if self.in_float:
            parts = ", ".join(f"{name} ({reason})" for name, reason in self.in_float.items())
            warnings.warn(
                f"In float32 although activations are rounded: {parts}.", UserWarning, stacklevel=3
            )

    def _study(self, model: keras.Model) -> None:
        graph = _Graph(model, self.chosen)
        if model is self.model:
            self._inputs = [graph.feeds_integers(tensor) for tensor in graph.inputs]
        for node in graph.nodes:
            operation = graph.operation(node)
            if isinstance(operation, keras.Model):
                self._after[node] = [False] * len(node.output_tensors)
                self._study(operation)
                continue
            if graph.splits(node):
                self.inside.add(operation)
            reason = graph.reason(node)
            if reason:
                self.in_float[operation.name] = reason
            self._after[node] = [graph.wanted(node, tensor) for tensor in node.output_tensors]


def _range(wanted: Interval | bool, bits: int, name: str) -> ActivationRange | None:
    if wanted is False:
        return None
    return ActivationRange(bits=bits, interval=None if wanted is True else wanted, name=name)


def _outputs(chosen: Mapping[keras.layers.Layer, Outputs] | None, operation: Any) -> Outputs:
    return (chosen or {}).get(operation, Outputs())


class _Graph:
    """One Sequential or Functional model, with who takes each tensor."""

    def __init__(
        self, model: keras.Model, chosen: Mapping[keras.layers.Layer, Outputs] | None
    ):
        self._chosen = chosen
        graph = graph_of(model)
        if graph is None:
            raise ValueError(
                "`model` must be Sequential or Functional, and so must models inside it, to round "
                f"activations: others do not tell what follows what. Received: '{model.name}' of "
                f"class {type(model).__name__}."
            )
        self.inputs = list(graph.inputs)
        self.nodes = [node for node in calls_of(graph) if not node.is_input]
        self._outputs = set(graph.outputs)
        self._takers: dict[Any, list[Node]] = {}
        self._makers: dict[Any, Node] = {}
        self._moving: dict[keras.layers.Layer, bool] = {}
        for node in self.nodes:
            self._makers.update(dict.fromkeys(node.output_tensors, node))
            for tensor in node.input_tensors:
                self._takers.setdefault(tensor, []).append(node)

    @staticmethod
    def operation(node: Node) -> Any:
        """The layer of a call, or the one that it wraps."""
        operation = node.operation
        return operation.layer if isinstance(operation, PrunedLayer) else operation

    def wanted(self, node: Node, tensor: Any) -> Interval | bool:
        """Whether a range stands after an output of a call, and which if it is fixed."""
        operation = self.operation(node)
        if not _outputs(self._chosen, operation).rounded:
            return False
        if not _is_float(tensor) or _is_recurrent(operation) or self._moves(node):
            return False
        takers = self._takers.get(tensor, [])
        in_integers = not self.reason(node)
        if not (in_integers or self.feeds_integers(tensor)):
            return False
        if self._is_fused(node, tensor):
            return False
        fixed = FIXED.get(_activation(operation))
        if fixed is not None:
            return fixed
        alone = len(takers) == 1 and tensor not in self._outputs
        return not (alone and in_integers and _kind(self.operation(takers[0])) in _JOINING)

    def feeds_integers(self, tensor: Any) -> bool:
        """Whether some operator that computes in integers takes a tensor."""
        takers = self._takers.get(tensor, [])
        return _is_float(tensor) and any(not self.reason(taker) for taker in takers)

    def splits(self, node: Node) -> bool:
        """Whether ranges stand inside the layer of a call."""
        operation = self.operation(node)
        if not isinstance(operation, keras.layers.Layer):
            return False
        if self._chosen is not None and operation not in self._chosen:
            return False
        if isinstance(operation, layers.BatchNormalization):
            return not self._is_folded(node)
        return has_inside(operation)

    def reason(self, node: Node) -> str:
        """Why a call computes in float32; "" if it does not."""
        operation = self.operation(node)
        kind = _kind(operation)
        if isinstance(operation, keras.Model) or self._moves(node):
            return ""
        if self._chosen is not None and operation not in self._chosen:
            return "" if isinstance(operation, layers.BatchNormalization) else "it was not chosen"
        if isinstance(operation, layers.BatchNormalization):
            return ""
        name = _activation(operation)
        if isinstance(operation, PRODUCTS):
            return "" if name in KNOWN else f"its activation {name!r} has no integer kernel"
        if isinstance(operation, _ACTIVATIONS) or kind in _OPERATIONS:
            return "" if name in KNOWN else "this activation has no integer kernel"
        if kind in MOVING | _JOINING | _SUMS | _OTHERS:
            return ""
        if isinstance(operation, keras.layers.Layer) and has_inside(operation):
            return ""
        return f"{type(operation).__name__} has no integer form here"

    def _moves(self, node: Node) -> bool:
        """Whether a call only moves or selects values; of a layer without weights, its code."""
        operation = self.operation(node)
        if _kind(operation) or not isinstance(operation, keras.layers.Layer) or operation.weights:
            return _kind(operation) in MOVING
        if operation not in self._moving:
            self._moving[operation] = _moves_alone(operation, node)
        return self._moving[operation]

    def _is_fused(self, node: Node, tensor: Any) -> bool:
        takers = self._takers.get(tensor, [])
        if len(takers) != 1 or tensor in self._outputs:
            return False
        follower = self.operation(takers[0])
        if isinstance(follower, layers.BatchNormalization):
            return self._is_folded(takers[0])
        if _activation(follower) not in ("relu", "relu6"):
            return False
        if not (isinstance(follower, _ACTIVATIONS) or _kind(follower) in _OPERATIONS):
            return False
        operation = self.operation(node)
        linear = isinstance(operation, PRODUCTS) and _activation(operation) == "linear"
        return (
            (linear and fuses(operation, "relu"))
            or isinstance(operation, layers.BatchNormalization)
            or _kind(operation) in _SUMS
        )

    def _is_folded(self, node: Node) -> bool:
        """Whether a batch normalization becomes part of the convolution before it."""
        tensor = node.input_tensors[0]
        maker = self._makers.get(tensor)
        if maker is None or len(self._takers[tensor]) > 1 or tensor in self._outputs:
            return False
        operation = self.operation(maker)
        return isinstance(operation, _FOLDING) and activation_name(operation) == "linear"


def _moves_alone(layer: keras.layers.Layer, node: Node) -> bool:
    """Whether the operations in the `call` of a layer of one input all move values alone."""
    if len(node.input_tensors) != 1:
        return False
    given = keras.Input(batch_shape=node.input_tensors[0].shape, dtype=node.input_tensors[0].dtype)
    try:
        inside = graph_of(keras.Model(given, layer.call(given)))
    except Exception:  # code of the user, which may want arrays
        return False
    return all(each.is_input or _kind(each.operation) in MOVING for each in calls_of(inside))


def _is_float(tensor: Any) -> bool:
    return keras.backend.is_float_dtype(tensor.dtype)


def _is_recurrent(operation: object) -> bool:
    """Whether what comes out has been rounded in the last step inside."""
    return isinstance(operation, layers.RNN) and has_inside(operation)


def _kind(operation: object) -> str:
    """The name of a class of Keras; "" for any other."""
    kind = type(operation)
    return kind.__name__ if kind.__module__.startswith("keras.") else ""


def _activation(operation: object) -> str:
    return _OPERATIONS.get(_kind(operation)) or activation_name(operation)
