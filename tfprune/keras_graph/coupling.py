"""Where the gates of a model are: which batch normalization follows which kernel, what is coupled.

A gate multiplies one output channel of a layer behind its batch normalization, and channels that a
skip connection adds up are one decision. Both are read off the graph of a Sequential or Functional
model, nested models included, one pass over its calls. A subclassed model has no graph.

Only kernels whose output channels are their last axis (Dense, EinsumDense, convolutions, Embedding,
the pointwise kernel of a separable convolution) or their last two (depthwise convolutions: channel
i * multiplier + j is kernel[..., i, j]) are found, as the table of axes tells. A transposed
convolution has its input axis last and counts, like any layer whose axes are not known, as a layer
that makes new channels.

Scorers on gates sum what is coupled in this way. `tfprune.channels.coupling` reads more of a graph
(attention, concatenation, other axes), and masks of `Channel` follow that.
"""

from collections.abc import Mapping

import keras
from keras import layers

from tfprune.keras_graph.calls import Call, Value, flat_calls, graph_of, graph_parts, users_of
from tfprune.layer_classes.axes import own_weights
from tfprune.support.by_identity import ByIdentity

# Names of Keras classes, layers and `keras.ops` alike, that compute each channel from that channel.
_APART = frozenset("""
    Activation ReLU LeakyReLU PReLU ELU Identity ActivityRegularization Rescaling Masking
    BatchNormalization Dropout AlphaDropout GaussianDropout GaussianNoise
    SpatialDropout1D SpatialDropout2D SpatialDropout3D
    ZeroPadding1D ZeroPadding2D ZeroPadding3D Cropping1D Cropping2D Cropping3D
    UpSampling1D UpSampling2D UpSampling3D MaxPooling1D MaxPooling2D MaxPooling3D
    AveragePooling1D AveragePooling2D AveragePooling3D
    GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
    Relu Relu6 LeakyRelu Elu Selu Celu Gelu Silu HardSilu Sigmoid HardSigmoid LogSigmoid Softplus
    Softsign Tanh HardTanh Absolute Abs Negative Square Sqrt Exp Log Clip Cast
    """.split())
# Those that put as many channels in the same order, each computed from all of them.
_ALIGNED = frozenset("""
    LayerNormalization GroupNormalization RMSNormalization UnitNormalization Softmax LogSoftmax
    """.split())
_RESHAPING = frozenset({"Flatten", "Reshape"})
_MERGING = frozenset(
    {"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Divide", "TrueDivide"}
)


def batch_norm_of(
    model: keras.Model,
) -> ByIdentity[keras.Variable, keras.layers.BatchNormalization]:
    """Return the batch normalization that holds the gates of each kernel.

    It must see the output of the kernel's layer and of no other, on its channel axis, directly or
    through layers that keep channels apart (padding, dropout, an activation), and nothing else may
    use what lies in between: then the gate is the only way out of the filter. A batch
    normalization without a scale has no gate.

    Args:
        model: a built model, pruned or not.

    Returns:
        Kernel -> layer; kernels without gates are left out, and so is everything in subclassed
        models, which have no graph.

    Example:
        >>> norm = layers.BatchNormalization()
        >>> model = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="a"), norm])
        >>> [norm is found for found in batch_norm_of(model).values()]
        [True]
    """
    calls, returned = flat_calls(model)
    users = users_of(calls, returned)
    found: ByIdentity[keras.Variable, list[layers.BatchNormalization | None]] = ByIdentity()
    for call in calls:
        kernel = _kernel(call)
        if kernel is not None:
            found.setdefault(kernel, []).append(_norm_behind(call, users))
    norms = [c.operation for c in calls if isinstance(c.operation, layers.BatchNormalization)]
    return ByIdentity(
        (kernel, behind[0])
        for kernel, behind in found.items()
        # Every call of the layer leads to this normalization, and every call of it comes from here.
        if behind[0] is not None
        and all(norm is behind[0] for norm in behind)
        and norms.count(behind[0]) == len(behind)
    )


def coupled_kernels(model: keras.Model) -> list[list[keras.Variable]]:
    """Return which kernels have the same channels as outputs.

    Two layers are coupled where their outputs are added or multiplied, directly or behind layers
    that keep channels (activations, normalizations, pooling, padding, depthwise convolutions).
    Concatenation and layers that are not known end a channel; they couple nothing.

    Args:
        model: a built model, pruned or not.

    Returns:
        Lists of two kernels or more, without one in common, in the order of the graph. Of a
        subclassed model, which has none, those of the models with graphs that are parts of it.

    Example:
        >>> inputs = keras.Input((3,))
        >>> a, b = layers.Dense(2, name="a")(inputs), layers.Dense(2, name="b")(inputs)
        >>> (group,) = coupled_kernels(keras.Model(inputs, a + b))
        >>> [kernel.path for kernel in group]
        ['a/kernel', 'b/kernel']
    """
    if graph_of(model) is None:
        return _coupled_in_parts(model)
    calls, _ = flat_calls(model)
    spaces: dict[Value, _Space] = {}
    of_kernel: ByIdentity[keras.Variable, _Space] = ByIdentity()
    for call in calls:
        space = _space_of(call, spaces)
        kernel = _kernel(call)
        if kernel is not None:
            space = space or _Space(_channel_axis(call.operation, call.outputs[0]))
            # A layer that is called twice makes the same channels twice.
            of_kernel.setdefault(kernel, space).join(space)
        if space is not None:
            spaces[call.outputs[0]] = space
    groups: dict[_Space, list[keras.Variable]] = {}
    for kernel, space in of_kernel.items():
        groups.setdefault(space.root(), []).append(kernel)
    return [kernels for kernels in groups.values() if len(kernels) > 1]


def _coupled_in_parts(model: keras.Model) -> list[list[keras.Variable]]:
    found: list[list[keras.Variable]] = []
    taken: ByIdentity[keras.Variable, None] = ByIdentity()
    for part in graph_parts(model):
        for kernels in coupled_kernels(part):
            if not any(kernel in taken for kernel in kernels):
                found.append(kernels)
                taken.update((kernel, None) for kernel in kernels)
    return found


def coupled_among(
    model: keras.Model, weights: Mapping[str, keras.Variable]
) -> list[frozenset[str]]:
    """Return what `coupled_kernels` finds by names, as far as it has one.

    Args:
        model: a built model, pruned or not.
        weights: name -> weight of the model.

    Returns:
        Sets of two names or more.
    """
    name_of = ByIdentity((weight, name) for name, weight in weights.items())
    found = (
        frozenset(name_of[kernel] for kernel in kernels if kernel in name_of)
        for kernels in coupled_kernels(model)
    )
    return [names for names in found if len(names) > 1]


class _Space:
    """The channels of a value: which they are (by union-find) and the axis they lie on."""

    def __init__(self, axis: int, parent: "_Space | None" = None):
        self.axis = axis
        self.parent = parent

    def root(self) -> "_Space":
        space = self
        while space.parent is not None:
            space = space.parent
        return space

    def join(self, other: "_Space") -> None:
        mine, theirs = self.root(), other.root()
        if mine is not theirs:
            theirs.parent = mine


def _space_of(call: Call, spaces: dict[Value, _Space]) -> _Space | None:
    """Return the channels that the call hands on from its inputs; None if there are none."""
    if not call.inputs or len(call.outputs) != 1:
        return None
    if _is_keras(call.operation, _MERGING):
        return _merged(call, spaces)
    space = spaces.get(call.inputs[0])
    if space is None:
        return None
    if _is_depthwise(call):
        return _Space(space.axis, space)
    axis = _axis_behind(call, space.axis, _APART | _ALIGNED)
    return None if axis is None else _Space(axis, space)


def _merged(call: Call, spaces: dict[Value, _Space]) -> _Space | None:
    shape = call.outputs[0].shape
    found: _Space | None = None
    for value in call.inputs:
        space = spaces.get(value)
        if space is None:
            continue
        axis = space.axis + len(shape) - len(value.shape)  # broadcasting aligns the last axes
        if value.shape[space.axis] != shape[axis]:
            continue  # one channel against many
        if found is None:
            found = _Space(axis, space)
        elif found.axis == axis:
            found.join(space)
        else:
            return None
    return found


def _norm_behind(
    call: Call, users: dict[Value, list[Call | None]]
) -> layers.BatchNormalization | None:
    """Return the batch normalization that the output of this call goes to alone, or None."""
    value = call.outputs[0]
    axis: int | None = _channel_axis(call.operation, value)
    while axis is not None:
        following = users.get(value, [])
        if len(following) != 1 or following[0] is None:
            return None
        then = following[0]
        if isinstance(then.operation, layers.BatchNormalization):
            norm = then.operation
            return norm if norm.scale and norm.axis % len(value.shape) == axis else None
        axis = _axis_behind(then, axis, _APART)
        value = then.outputs[0]
    return None


def _axis_behind(call: Call, axis: int, keeping: frozenset[str]) -> int | None:
    """Return the channel axis of the output of a call that keeps channels; None for others."""
    if len(call.inputs) != 1 or len(call.outputs) != 1:
        return None
    before, after = call.inputs[0].shape, call.outputs[0].shape
    if _is_keras(call.operation, _RESHAPING):
        # In row-major order the last axis is intact if its length is.
        last = axis == len(before) - 1 and before[-1] is not None and before[-1] == after[-1]
        return len(after) - 1 if last else None
    scaled = _is_keras(call.operation, _MERGING)  # an operation with a constant: 2 * x
    if not (scaled or _is_keras(call.operation, keeping)):
        return None
    spatial = getattr(call.operation, "data_format", None) is not None
    if spatial and _channel_axis(call.operation, call.inputs[0]) != axis:
        return None  # it pools or pads over the channels
    moved = axis if len(after) == len(before) else len(after) - 1  # global pooling
    return moved if before[axis] == after[moved] else None


def _kernel(call: Call) -> keras.Variable | None:
    """Return the variable whose last axis (or two, if depthwise) is the channels of the output."""
    if not isinstance(call.operation, layers.Layer) or not call.outputs:
        return None
    value = call.outputs[0]
    axis, rank = _channel_axis(call.operation, value), len(value.shape)
    for own in own_weights(call.operation):
        last = len(own.weight.shape) - 1
        if own.axes.product and own.axes.gates == 1:
            if last in own.axes.writing(axis, rank=rank):
                return own.weight
    return None


def _is_depthwise(call: Call) -> bool:
    """Return whether each channel of the output comes from that of the input alone."""
    if not isinstance(call.operation, layers.Layer):
        return False
    return any(
        own.axes.is_depthwise and own.axes.writes and own.weight.shape[-1] == 1
        for own in own_weights(call.operation)
    )


def _channel_axis(layer: keras.Operation, value: Value) -> int:
    first = getattr(layer, "data_format", None) == "channels_first"
    return 1 if first else len(value.shape) - 1


def _is_keras(operation: keras.Operation, names: frozenset[str]) -> bool:
    kind = type(operation)
    return kind.__name__ in names and kind.__module__.startswith("keras.")
