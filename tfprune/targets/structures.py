"""Structures that fit a target: for each weight, the one whose zeros the target can skip.

What runs sparse, in unmodified LiteRT runtimes:

- fully connected weights (Dense, recurrent cells): 1x4 blocks along the input in float32, 1x16
  blocks in int8 with int8 or float32 activations; rows of single weights as a slower last resort;
- 1x1 convolutions in float32 on ARM64 and in WebAssembly, by single weights: XNNPACK switches all
  of them together, from the first convolution (which must be dense) to the last.

Everything else is computed densely and only takes less space. There single weights are removed,
which costs least accuracy. Depthwise kernels and the first convolution stay dense everywhere: they
hold 1 to 2 % of the weights of a MobileNet, and the other layers need them most.
"""

import dataclasses
import math
import warnings

import keras

from tfprune.keras_graph.calls import LayerGraph, layer_graph
from tfprune.keras_graph.sublayers import is_graph
from tfprune.layer_classes.axes import axes_of, own_weights
from tfprune.layer_classes.prunable import is_recurrent_cell, owned_weights, prunable_weights
from tfprune.layer_classes.weight_axes import Operand, WeightAxes
from tfprune.sparsity.structures import Block, Structure, Unstructured
from tfprune.support.configurable import Configurable
from tfprune.support.validation import require_one_of
from tfprune.targets.target import (
    INTEGER_ARITHMETIC,
    QUANTIZE,
    TARGETS,
    QuantizeName,
    TargetName,
    require_target,
)

_IMAGE_CHANNELS = 4

# XNNPACK's own condition: more zeros than this over all 1x1 convolutions together.
_XNNPACK_GATE = 2 / 3


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class TargetStructures(Configurable):
    """The structure of each weight that is fast on a target; see `tfprune.structures_for`.

    Args:
        target: one of `TARGETS`, or a device that stands for one, such as "phone".
        quantize: one of `QUANTIZE`.

    Raises:
        ValueError: if one of them is unknown.

    Example:
        >>> layer = keras.layers.Dense(2)
        >>> layer.build((None, 8))
        >>> TargetStructures("x86").for_weight(layer, layer.kernel)
        Block(height=4, width=1, pooling='avg')
    """

    target: str = "auto"
    quantize: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", require_target(self.target))
        require_one_of("quantize", self.quantize, QUANTIZE)

    def for_weight(
        self, layer: keras.layers.Layer, weight: keras.Variable, *, first: bool = False
    ) -> Structure | None:
        """Return the structure of one weight, None where it should stay dense.

        Args:
            layer: the layer that holds the weight, such as a recurrent cell.
            weight: one of its prunable weights.
            first: whether the layer is a convolution that sees the inputs of the model.
        """
        axes = axes_of(layer, weight)
        if first or axes.is_depthwise:
            return None
        if not axes.is_matrix:
            return Unstructured()
        target = TARGETS[self.target]
        integers = self.quantize in INTEGER_ARITHMETIC
        structure = target.integer_matrices if integers else target.matrices
        fits = not isinstance(structure, Block) or weight.shape[0] % structure.height == 0
        return structure if fits else Unstructured()

    def assign(self, layer: keras.layers.Layer) -> list[Structure | None]:
        """Return the structure of each prunable weight of a layer or model; None = dense.

        First convolutions are found in the graph. A layer on its own and a subclassed model have
        none: there, a convolution of more than one position over up to 4 channels, an image's, is
        taken for one.
        """
        first = _FirstConvolutions(layer)
        return [
            self.for_weight(part, weight, first=first.sees_inputs(part))
            for part, weight in owned_weights(layer)
        ]

    def min_sparsity(self, layer: keras.layers.Layer, weight: keras.Variable) -> float:
        """Return the sparsity from which on the target skips the zeros of a weight.

        For 1x1 convolutions that XNNPACK runs it has to be exceeded by all of them together; for
        fully connected ones it is where the sparse kernel of a large weight starts to be faster
        (measured on x86-64 and in WebAssembly; "arm64" and "auto" take the figures of the former,
        but for int8 instructions that were counted), sooner for one that no core's cache holds.
        Where zeros only save space, it is 0.

        Args:
            layer: the layer that holds the weight.
            weight: one of its prunable weights.
        """
        return self._gate(layer, weight, self._nbytes(weight))

    def _gate(self, layer: keras.layers.Layer, weight: keras.Variable, nbytes: int) -> float:
        """Return the same where the fully connected weights take so many bytes together."""
        structure, axes = self.for_weight(layer, weight), axes_of(layer, weight)
        target = TARGETS[self.target]
        if structure is None:
            return 0.0
        integers = self.quantize in INTEGER_ARITHMETIC
        if _is_pointwise(axes):
            return _XNNPACK_GATE if target.sparse_convolutions and not integers else 0.0
        # Converted back by DEQUANTIZE, a weight has reached its dense kernel.
        if not axes.is_matrix or self.quantize in ("float16", "int8_weights"):
            return 0.0
        if integers and (structure != target.integer_matrices or self.quantize == "int4"):
            return 0.0  # there is no kernel for rows of integers, nor for 4 bits
        return target.pays_from(structure, dynamic=self.quantize == "dynamic", nbytes=nbytes)

    def _nbytes(self, weight: keras.Variable) -> int:
        return math.prod(weight.shape) * (1 if self.quantize in INTEGER_ARITHMETIC else 4)

    def gates(self, layer: keras.layers.Layer) -> list[float]:
        """Return `min_sparsity` of each prunable weight of a layer or model, seen as one file.

        Fully connected weights that fit no core's cache together pay sooner than each alone; those
        of recurrent cells are read again at the next step.
        """
        weights = owned_weights(layer)
        nbytes = sum(
            self._nbytes(weight) for part, weight in weights if axes_of(part, weight).is_matrix
        )
        return [
            self._gate(part, weight, self._nbytes(weight) if is_recurrent_cell(part) else nbytes)
            for part, weight in weights
        ]


def structures_for(target: TargetName, *, quantize: QuantizeName | None = None) -> TargetStructures:
    """Return what gives each weight the structure that is fast on a target, for `tfprune.prune`.

    - Matrices (Dense, EinsumDense of rank 2, LSTM, GRU, SimpleRNN, the second kernel of a
      ReversibleEmbedding): blocks of 4 along the input, of 16 with "dynamic" or "int8"; single
      weights where the input axis is no multiple of that.
    - First convolutions and depthwise kernels: dense.
    - All others: single weights.

    Zeros of convolutions save no time on "x86", nor in integer arithmetic: where they are most of
    the network, remove channels (`tfprune.channels`), after which every kernel is faster.

    For "size", single weights take the place of blocks of 4: at the same accuracy they allow a
    higher sparsity, which is worth more bytes than the index of each. Blocks of 16 stay, as the
    only form in which integer kernels read weights without their zeros. "microcontroller" stores
    single weights in the fewest bytes in any arithmetic, and computes all of them.

    `prune` warns where the final sparsity is one at which the target computes zeros too.

    Args:
        target: "x86", "arm64" or "wasm"; "auto" for any of them; "size" for the smallest file;
            "microcontroller" for tflite-micro.
        quantize: as for `tfprune.export.to_tflite`: None, "float16", "int8_weights", "dynamic" or
            "int8".

    Returns:
        An object for the argument `structure` of `prune`, `one_shot`, `sensitivity` and
        `PrunedLayer`.

    Raises:
        ValueError: if `target` or `quantize` is unknown.

    Example:
        >>> import tfprune
        >>> from keras import layers
        >>> model = keras.Sequential([keras.Input((8,)), layers.Dense(16), layers.Dense(3)])
        >>> pruned = tfprune.prune(model, tfprune.OneShot(0.9), structure=structures_for("x86"))
        >>> pruned.layers[0].structure
        Block(height=4, width=1, pooling='avg')
    """
    return TargetStructures(target, quantize)


def warn_below_min_sparsity(
    structures: TargetStructures, model: keras.Model, finals: list[float | None]
) -> None:
    """Warn once, of all weights whose final sparsity is too low to save time on the target.

    Args:
        structures: the target.
        model: plain, built model.
        finals: final sparsity of each prunable weight, 0 for a dense one, None if not known.
    """
    pointwise: list[tuple[keras.Variable, float]] = []
    found: list[str] = []
    for (part, weight), structure, least, final in zip(
        owned_weights(model), structures.assign(model), structures.gates(model), finals, strict=True
    ):
        if structure is None or not least or final is None:
            continue
        if _is_pointwise(axes_of(part, weight)):
            pointwise.append((weight, final))
        elif 0.0 < final < least:
            found.append(f"'{weight.path}' is at {final:.1%} and needs {least:.0%}")
    # All of them count, those that a rule leaves dense too.
    size = sum(math.prod(weight.shape) for weight, _ in pointwise)
    zeros = sum(math.prod(weight.shape) * final for weight, final in pointwise)
    if 0.0 < zeros <= _XNNPACK_GATE * size:
        names = _listed([f"'{weight.path}'" for weight, _ in pointwise])
        together = f"are at {zeros / size:.1%} together and need more than {_XNNPACK_GATE:.1%}"
        found.insert(0, f"the 1x1 convolutions ({names}) {together}")
    if found:
        warnings.warn(
            f"On target '{structures.target}' some zeros will save space but no time: "
            f"{_listed(found)}.",
            stacklevel=3,
        )


def _listed(items: list[str], most: int = 4) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def _is_pointwise(axes: WeightAxes) -> bool:
    """Whether the weight becomes that of a 1x1 CONV_2D of stride 1."""
    return axes.is_pointwise and len(axes.spatial) == 2


class _FirstConvolutions:
    """Tells which convolutions see the inputs of a model, with no other weight in between."""

    def __init__(self, layer: keras.layers.Layer):
        self._graph = layer_graph(layer) if is_graph(layer) else LayerGraph([], [], [])
        edges = self._graph.edges
        self._known = {*self._graph.inputs, *(part for edge in edges for part in edge)}

    def sees_inputs(self, layer: keras.layers.Layer) -> bool:
        kernel = _convolution_kernel(layer)
        if kernel is None:
            return False
        if layer in self._known:
            return self._sees_inputs_only(layer)
        *size, channels, _ = kernel.shape
        return math.prod(size) > 1 and channels <= _IMAGE_CHANNELS

    def _sees_inputs_only(self, layer: keras.Operation) -> bool:
        return all(
            not _has_weights(producer) and self._sees_inputs_only(producer)
            for producer in self._graph.producers(layer)
        )


def _convolution_kernel(layer: keras.layers.Layer) -> keras.Variable | None:
    """Return the kernel that becomes that of a convolution over the layer's own inputs."""
    for own in own_weights(layer):
        if own.axes.is_convolution and own.axes.operand is Operand.INPUTS and own.axes.gates == 1:
            return own.weight
    return None


def _has_weights(operation: keras.Operation) -> bool:
    return isinstance(operation, keras.layers.Layer) and bool(prunable_weights(operation))
