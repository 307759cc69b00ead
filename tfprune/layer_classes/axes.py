"""The table of layer classes: what the axes of each of their weights stand for.

    layer class -> Entry: attribute -> WeightAxes, or a function (layer, weight) -> WeightAxes

Everything that depends on how a layer class lays out its weights reads it here: which weights are
prunable, what they are multiplied with, which structure a target skips, which axis has the scales
of an int8 weight, which channels are the same. An attribute may reach into sublayers ("cell.bias");
the function then gets the sublayer. Composite layers (attention, bidirectional, stacked cells) need
no entry: their sublayers have one. Subclasses inherit the entry of their nearest ancestor, whole.

A weight that is not in the table has no axes. It can be made prunable (`register_prunable`) and is
then treated as elementwise: single weights are removed whatever the target, int8 scales lie on its
last axis, nothing is known of its inputs, and its layer makes channels of its own.

README.md in this folder says how to add a layer class.
"""

import dataclasses
from collections.abc import Callable, Mapping

import keras
from keras import layers

from tfprune.layer_classes.equations import Equation
from tfprune.layer_classes.weight_axes import (
    Operand,
    WeightAxes,
    convolution,
    depthwise,
    einsum,
    elementwise,
    matrix,
    vector,
)
from tfprune.layer_classes.windows import Windows

Axes = WeightAxes | Callable[[layers.Layer, keras.Variable], WeightAxes]


@dataclasses.dataclass(frozen=True)
class Entry:
    """The weights of one layer class.

    Attributes:
        kernels: what is multiplied with inputs, and worth pruning.
        vectors: all others.
    """

    kernels: Mapping[str, Axes] = dataclasses.field(default_factory=dict)
    vectors: Mapping[str, Axes] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class OwnWeight:
    """A weight with its axes and with the layer that multiplies by it (a cell in a ConvLSTM)."""

    holder: layers.Layer
    weight: keras.Variable
    axes: WeightAxes


def register_axes(
    layer_class: type,
    *,
    kernels: Mapping[str, Axes] | None = None,
    vectors: Mapping[str, Axes] | None = None,
) -> None:
    """Put a layer class into the table, in place of what it inherits.

    Args:
        layer_class: subclass of `keras.layers.Layer`.
        kernels: attribute -> axes of each weight that is multiplied with inputs; they become
            prunable.
        vectors: the same of biases, scales and other small weights.

    Raises:
        TypeError: if `layer_class` is not a layer class.

    Example:
        >>> class Projection(layers.Layer): pass
        >>> register_axes(Projection, kernels={"matrix": matrix()}, vectors={"shift": vector()})
    """
    if not (isinstance(layer_class, type) and issubclass(layer_class, layers.Layer)):
        raise TypeError(
            "`layer_class` must be a subclass of keras.layers.Layer. "
            f"Received: layer_class={layer_class!r}."
        )
    _TABLE[layer_class] = Entry(dict(kernels or {}), dict(vectors or {}))


def kernel_attributes(layer_class: type) -> tuple[str, ...] | None:
    """Return the attributes with the kernels of a class; None if it is not in the table itself.

    Example:
        >>> kernel_attributes(layers.SeparableConv2D)
        ('depthwise_kernel', 'pointwise_kernel')
    """
    return tuple(_TABLE[layer_class].kernels) if layer_class in _TABLE else None


def own_weights(layer: layers.Layer) -> list[OwnWeight]:
    """Return the weights of a built layer, but not those of sublayers, whose axes are known.

    Weights in another form (quantized, LoRA) are left out.

    Example:
        >>> layer = layers.Dense(3)
        >>> layer.build((None, 4))
        >>> [(own.weight.name, own.axes.outputs) for own in own_weights(layer)]
        [('kernel', (1,)), ('bias', (0,))]
    """
    entry = next((_TABLE[kind] for kind in type(layer).__mro__ if kind in _TABLE), Entry())
    found = []
    for attribute, axes in (*entry.kernels.items(), *entry.vectors.items()):
        holder, weight = reach(layer, attribute)
        if isinstance(weight, keras.Variable) and keras.backend.is_float_dtype(weight.dtype):
            known = axes if isinstance(axes, WeightAxes) else axes(holder, weight)
            found.append(OwnWeight(holder, weight, known))
    return found


def axes_of(layer: layers.Layer, weight: keras.Variable) -> WeightAxes:
    """Return the axes of one weight of a built layer; without any if they are not known.

    Example:
        >>> layer = layers.Conv2D(8, 3)
        >>> layer.build((None, 8, 8, 4))
        >>> axes_of(layer, layer.kernel).spatial
        (0, 1)
    """
    owned = own_weights(layer)
    return next((own.axes for own in owned if own.weight is weight), WeightAxes())


def reach(layer: layers.Layer, attribute: str) -> tuple[layers.Layer | None, object]:
    """Return what holds an attribute with dots in it, and its value; None where there is none.

    Example:
        >>> layer = layers.ConvLSTM1D(2, 3)
        >>> reach(layer, "cell.filters") == (layer.cell, 2)
        True
    """
    holder, value = None, layer
    for name in attribute.split("."):
        # Unbuilt Keras layers lack the attribute; LoRA and int8 layers compute a tensor instead.
        holder, value = value, getattr(value, name, None)
    return holder, value


def _einsum_kernel(layer: layers.Layer, kernel: keras.Variable) -> WeightAxes:
    return einsum(Equation.parse(layer.equation))


def _einsum_bias(layer: layers.Layer, bias: keras.Variable) -> WeightAxes:
    pairs = Equation.parse(layer.equation).bias_writes(layer.bias_axes, len(bias.shape))
    return WeightAxes(outputs=tuple(own for own, _ in pairs), writes=pairs)


def _convolution(layer: layers.Layer, kernel: keras.Variable) -> WeightAxes:
    return convolution(Windows.of(layer, kernel), groups=layer.groups)


def _transposed(layer: layers.Layer, kernel: keras.Variable) -> WeightAxes:
    return convolution(Windows.transposed(layer, kernel))


def _depthwise(layer: layers.Layer, kernel: keras.Variable) -> WeightAxes:
    return depthwise(Windows.of(layer, kernel))


def _filtering(layer: layers.Layer, kernel: keras.Variable) -> WeightAxes:
    # Its channels are those that the pointwise kernel reads.
    return dataclasses.replace(_depthwise(layer, kernel), writes=())


def _pointwise(layer: layers.Layer, kernel: keras.Variable) -> WeightAxes:
    return convolution(Windows.plain(layer, kernel), operand=Operand.FILTERED)


def _conv_lstm_kernel(cell: layers.Layer, kernel: keras.Variable) -> WeightAxes:
    return convolution(Windows.of(cell, kernel), gates=4)


def _conv_lstm_recurrent(cell: layers.Layer, kernel: keras.Variable) -> WeightAxes:
    return convolution(Windows.plain(cell, kernel), operand=Operand.STATE, gates=4)


def _conv_lstm_bias(cell: layers.Layer, bias: keras.Variable) -> WeightAxes:
    return vector(_channel_axis(cell), gates=4)


def _channel_bias(layer: layers.Layer, bias: keras.Variable) -> WeightAxes:
    return vector(_channel_axis(layer))


def _channel_axis(layer: layers.Layer) -> int:
    return 1 if layer.data_format == "channels_first" else -1


def _gru_recurrent(cell: layers.Layer, kernel: keras.Variable) -> WeightAxes:
    if cell.reset_after:
        return matrix(Operand.STATE, gates=3)
    return matrix(Operand.GATED_STATE, gates=3, groups=3)


def _gru_bias(cell: layers.Layer, bias: keras.Variable) -> WeightAxes:
    return vector(axis=len(bias.shape) - 1, gates=3)  # two rows of them with reset_after


def _normalization(layer: layers.Layer, weight: keras.Variable) -> WeightAxes:
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    if min(axes) < 0 <= max(axes):
        return WeightAxes()  # Keras sorts them as numbers, but reads the weight in another order
    return elementwise(tuple(enumerate(axes)))


def _slopes(layer: layers.Layer, alpha: keras.Variable) -> WeightAxes:
    shared = layer.shared_axes or ()
    axes = range(1, len(alpha.shape) + 1)  # of the inputs: all but that of the examples
    return elementwise(tuple((axis - 1, axis) for axis in axes if axis not in shared))


def _recurrent(gates: int) -> Entry:
    return Entry(
        {"kernel": matrix(gates=gates), "recurrent_kernel": matrix(Operand.STATE, gates=gates)},
        {"bias": vector(gates=gates)},
    )


_LOOKUP = dataclasses.replace(matrix(Operand.TOKENS), reads=())  # numbers have no such axis
_CONVOLUTION = Entry({"kernel": _convolution}, {"bias": _channel_bias})
_TRANSPOSED = Entry({"kernel": _transposed}, {"bias": _channel_bias})
_DEPTHWISE = Entry({"kernel": _depthwise}, {"bias": _channel_bias})
_SEPARABLE = Entry(
    {"depthwise_kernel": _filtering, "pointwise_kernel": _pointwise}, {"bias": _channel_bias}
)
_CONV_LSTM = Entry(
    {"cell.kernel": _conv_lstm_kernel, "cell.recurrent_kernel": _conv_lstm_recurrent},
    {"cell.bias": _conv_lstm_bias},
)
_AFFINE = dict.fromkeys(("gamma", "beta"), _normalization)
_MOVING = dict.fromkeys(
    ("moving_mean", "moving_variance", "moving_stddev", "renorm_mean", "renorm_stddev"),
    _normalization,
)

_TABLE: dict[type, Entry] = {
    layers.Dense: Entry({"kernel": matrix()}, {"bias": vector()}),
    layers.EinsumDense: Entry({"kernel": _einsum_kernel}, {"bias": _einsum_bias}),
    **dict.fromkeys((layers.Conv1D, layers.Conv2D, layers.Conv3D), _CONVOLUTION),
    **dict.fromkeys(
        (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), _TRANSPOSED
    ),
    **dict.fromkeys((layers.DepthwiseConv1D, layers.DepthwiseConv2D), _DEPTHWISE),
    **dict.fromkeys((layers.SeparableConv1D, layers.SeparableConv2D), _SEPARABLE),
    layers.Embedding: Entry({"embeddings": _LOOKUP}),
    layers.ReversibleEmbedding: Entry(
        # What is read and written depends on the direction of the call.
        {
            "embeddings": dataclasses.replace(_LOOKUP, writes=()),
            "reverse_embeddings": dataclasses.replace(
                matrix(Operand.REVERSED), reads=(), writes=()
            ),
        }
    ),
    layers.SimpleRNNCell: _recurrent(1),
    layers.LSTMCell: _recurrent(4),
    layers.GRUCell: Entry(
        {"kernel": matrix(gates=3), "recurrent_kernel": _gru_recurrent}, {"bias": _gru_bias}
    ),
    **dict.fromkeys((layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D), _CONV_LSTM),
    layers.BatchNormalization: Entry(vectors={**_AFFINE, **_MOVING}),
    layers.LayerNormalization: Entry(vectors=_AFFINE),
    layers.GroupNormalization: Entry(vectors=_AFFINE),
    layers.RMSNormalization: Entry(vectors={"scale": _normalization}),
    layers.PReLU: Entry(vectors={"alpha": _slopes}),
}
