"""Layers that multiply by weights, and normalizations: what the table of axes says of them."""

import numpy as np

from tfprune.channels.coupling.call_site import (
    OTHER_FORM,
    Keeping,
    Opaque,
    Shape,
    Site,
    channel_axis,
    place,
    unlabelled,
    writes,
)
from tfprune.channels.coupling.ledger import Labels
from tfprune.channels.coupling.rules.elementwise import require_elementwise
from tfprune.layer_classes.equations import Equation

_SIZES = {  # class -> entry of its config that counts the channels it makes
    "Dense": "units",
    "Embedding": "output_dim",
    **dict.fromkeys(
        [f"{name}{rank}D" for name in ("Conv", "SeparableConv") for rank in (1, 2, 3)]
        + [f"Conv{rank}DTranspose" for rank in (1, 2, 3)],
        "filters",
    ),
}


def _mixing(site: Site) -> list[Labels]:
    """Dense, convolutions and Embedding: one axis of new channels, each of all that are read."""
    layer, owned = site.operation, site.owned(site.operation)
    axis = -1 if site.kind in ("Dense", "Embedding") else channel_axis(layer)
    if site.kind == "Dense" and site.inputs[0].shape[-1] == 1 and site.inputs[0].size > 1:
        # Its channels lie on other axes, and each has outputs of its own.
        held = site.inputs[0].shape[:-1]
        places = tuple(1 if many > 1 else n for many, n in zip(held, site.shapes[0]))
        for own in owned:
            if own.axes.product is not None:
                site.multiply(own.weight, places, site.inputs[0])
            for at in (*own.axes.inputs, *own.axes.outputs):
                site.weigh(own.weight, at, np.zeros(own.weight.shape[at], int))
        if getattr(layer.activation, "__name__", "") not in ("softmax", "log_softmax"):
            require_elementwise(site, site.inputs[0], layer.activation)  # those are over others
        return [site.inputs[0]]
    size = site.out_shapes[0][axis]
    assert size is not None
    parts = getattr(layer, "groups", 1)
    read = None if site.kind == "Embedding" else site.along(0, axis)
    if read is not None and 1 < parts == read.size:
        site.share("groups", read)
        if read.any():
            return _one_by_one(site, read, np.repeat(read, size // parts))
    made = site.own("channels", size)
    if read is not None and parts > 1:
        read = _alike(site, read, parts)
        _alike(site, made, parts)
    between = None  # what the depthwise kernel of a separable convolution makes
    if read is not None and hasattr(layer, "depthwise_kernel"):
        between = np.repeat(read, layer.depth_multiplier)
    places = _places(site.shapes[0] if "Transpose" in site.kind else site.out_shapes[0], axis)
    for own in owned:
        if own.axes.product is not None and not own.axes.is_lookup:
            site.multiply(own.weight, places)
        if own.axes.is_depthwise and read is not None:
            site.weigh(own.weight, own.axes.depthwise[0], read)
            continue
        for at in own.axes.outputs:
            site.weigh(own.weight, at, made, makes=own.axes.product is not None)
        for at in own.axes.inputs:
            if read is not None:
                site.weigh(own.weight, at, read if between is None else between, reads=True)
    require_elementwise(site, made, getattr(layer, "activation", None))
    site.resize(writes(_SIZES[site.kind], made))
    return [place(made, len(site.out_shapes[0]), axis)]


def _one_by_one(site: Site, read: Labels, made: Labels) -> list[Labels]:
    """A convolution with a group for each channel: what it makes of a channel goes with it."""
    axis = channel_axis(site.operation)
    for own in site.owned(site.operation):
        for at in own.axes.outputs:
            site.weigh(own.weight, at, made)
        if own.axes.product is not None:
            site.multiply(own.weight, _places(site.out_shapes[0], axis))
    require_elementwise(site, made, site.operation.activation)

    def change(config: dict[str, object], keeping: Keeping) -> None:
        config["groups"], config["filters"] = keeping.count(read), keeping.count(made)

    site.resize(change)
    return [place(made, len(site.out_shapes[0]), axis)]


def _reversible(site: Site) -> list[Labels]:
    """ReversibleEmbedding: tokens to vectors, or vectors to tokens by the same table."""
    layer = site.operation
    if layer.quantization_mode or layer.lora_enabled:
        raise Opaque(OTHER_FORM)
    vectors = site.own("channels", layer.output_dim)
    backwards = bool(site.arguments.get("reverse"))
    site.weigh(layer.embeddings, 1, vectors, makes=not backwards, reads=backwards)
    if not layer.tie_weights:
        site.weigh(layer.reverse_embeddings, 0, vectors, reads=True)
    site.resize(writes("output_dim", vectors))
    if backwards:
        kernel = layer.embeddings if layer.tie_weights else layer.reverse_embeddings
        site.multiply(kernel, site.shapes[0][:-1])
    else:
        return [place(vectors, len(site.out_shapes[0]), -1)]
    site.tie(vectors, site.along(0, -1))
    return [unlabelled(site.out_shapes[0])]


def _places(shape: Shape, axis: int) -> Shape:
    """Return a shape without its channel axis."""
    return tuple(size for at, size in enumerate(shape) if at != axis % len(shape))


def _alike(site: Site, labels: Labels, parts: int) -> Labels:
    """Tie the channels at the same place of each of the equal parts; return those of the first."""
    rows = labels.reshape(parts, -1)
    site.tie(rows[:1], rows[1:], same=False)
    return rows[0]


def _depthwise(site: Site) -> list[Labels]:
    axis = channel_axis(site.operation)
    read = site.along(0, axis)
    made = np.repeat(read, site.operation.depth_multiplier)
    for own in site.owned(site.operation):
        kernel = own.axes.is_depthwise
        site.weigh(own.weight, own.axes.depthwise[0] if kernel else 0, read if kernel else made)
        if kernel:
            site.multiply(own.weight, _places(site.out_shapes[0], axis))
    require_elementwise(site, made, site.operation.activation)
    return [place(made, len(site.out_shapes[0]), axis)]


def _einsum(site: Site) -> list[Labels]:
    """EinsumDense: channels are made along the last axis that is the kernel's alone."""
    owned = site.owned(site.operation)
    kernel = next(own for own in owned if own.axes.product is not None)
    rank = len(site.out_shapes[0]) + 1
    new = [(own, at % rank - 1) for own, at in kernel.axes.writes if own in kernel.axes.outputs]
    read_axes = {at % (len(site.shapes[0]) + 1) - 1 for _, at in kernel.axes.reads}
    site.multiply(kernel.weight, _outer_places(site))
    labels = site.inputs[0]
    if any(size > 1 and axis not in read_axes for axis, size in enumerate(labels.shape)):
        raise Opaque("its input has channels on an axis that its kernel does not have")
    through: dict[int, Labels] = {}
    for own, at in kernel.axes.reads:
        place_in = at % (len(site.shapes[0]) + 1) - 1
        if labels.shape[place_in] == 1 < labels.size:  # they lie on other axes
            vector = np.zeros(kernel.weight.shape[own], int)
        else:
            vector = site.along(0, place_in)
        site.weigh(kernel.weight, own, vector, reads=own in kernel.axes.inputs)
        for mine, out in kernel.axes.writes:
            if mine == own and vector.any():
                through[out % rank - 1] = vector
    if through:
        # Channels that go through must stay apart from new ones: they lie on one axis.
        if len(through) > 1:
            raise Opaque("channels go through it on several axes")
        ((axis, made),) = through.items()
    elif not new:
        return [unlabelled(site.out_shapes[0])]
    else:
        axis = max(at for _, at in new)
        size = site.out_shapes[0][axis]
        assert size is not None
        made = site.own(axis, size)
    for weight in owned:
        for own, at in weight.axes.writes:
            if at % rank - 1 == axis and own not in [mine for mine, _ in weight.axes.reads]:
                site.weigh(weight.weight, own, made, makes=weight is kernel)
    require_elementwise(site, made, site.operation.activation)

    dotted = site.operation.equation.startswith("...")

    def change(config: dict[str, object], keeping: Keeping) -> None:
        shape = config["output_shape"]
        sizes = list(shape) if isinstance(shape, tuple | list) else [shape]
        # The batch and what the dots stand for are not among them.
        dots = rank - 1 - len(sizes) if dotted else 0
        sizes[axis - dots] = keeping.count(made)
        config["output_shape"] = sizes

    site.resize(change)
    return [place(made, len(site.out_shapes[0]), axis)]


def _outer_places(site: Site) -> Shape:
    """Return the sizes of the axes that an EinsumDense leaves as they are: none of its kernel's.

    They are those of the input: `output_shape` may leave them open.
    """
    equation = Equation.parse(site.operation.equation)
    dots = len(site.shapes[0]) + 1 - len(equation.inputs.replace("...", ""))
    letters = equation.inputs.replace("...", "." * dots)[1:]
    outer = set(equation.output) - set(equation.kernel)
    return tuple(size for letter, size in zip(letters, site.shapes[0]) if letter in outer)


def _apart(site: Site) -> list[Labels]:
    """Normalizations and slopes: each channel has numbers of its own."""
    labels, rank = site.inputs[0], len(site.shapes[0])
    for own in site.owned(site.operation):
        known = {mine for mine, _ in own.axes.reads}
        if any(size > 1 and at not in known for at, size in enumerate(own.weight.shape)):
            raise Opaque("the axes of its weights are not known")
        for mine, at in own.axes.reads:
            axis = at % (rank + 1) - 1
            if labels.shape[axis] > 1 or (labels.size == 1 and site.shapes[0][axis] == 1):
                site.weigh(own.weight, mine, site.along(0, axis))
            else:  # the channels lie on other axes
                site.weigh(own.weight, mine, np.zeros(own.weight.shape[mine], int))
    return [labels]


def _batch_normalization(site: Site) -> list[Labels]:
    axis = site.operation.axis
    axis = axis if axis < 0 else axis - 1
    vector = site.along(0, axis)
    for weight in site.operation.weights:
        site.weigh(weight, 0, vector)
    return [place(vector, len(site.shapes[0]), axis)]


def _normalization_over_channels(site: Site) -> list[Labels]:
    labels = _apart(site)
    over = getattr(site.operation, "axis", -1)
    rank = len(site.shapes[0])
    axes = over if isinstance(over, tuple | list) else [over]
    if any(labels[0].shape[axis - 1 if axis > 0 else axis % rank] > 1 for axis in axes):
        reason = f"'{site.name}' normalizes over channels, whose removal changes the others"
        site.book.ledger.blur(labels[0], reason)
    return labels


def _group_normalization(site: Site) -> list[Labels]:
    """Whole groups go, so that what is left is normalized as before."""
    layer = site.operation
    axis = layer.axis if layer.axis < 0 else layer.axis - 1
    vector = site.along(0, axis)
    parts = vector.size if layer.groups == -1 else layer.groups
    rows = vector.reshape(parts, -1)
    site.tie(rows[:, :1], rows[:, 1:], same=False)
    for weight in layer.weights:
        site.weigh(weight, 0, vector)

    def change(config: dict[str, object], keeping: Keeping) -> None:
        if layer.groups != -1:
            config["groups"] = keeping.count(rows[:, 0])

    site.resize(change)
    return [place(vector, len(site.shapes[0]), axis)]


def _layer_scale(site: Site) -> list[Labels]:
    """What ConvNeXt and InceptionResNetV2 of keras.applications add: a factor a channel."""
    vector = site.along(0, -1)
    for weight in site.operation.weights:
        site.weigh(weight, 0, vector)
    site.resize(writes("projection_dim", vector))
    return [place(vector, len(site.shapes[0]), -1)]


def _normalization(site: Site) -> list[Labels]:
    if site.labelled:
        raise Opaque("its statistics were adapted to these channels")
    return [unlabelled(site.out_shapes[0])]


RULES = {
    **dict.fromkeys(_SIZES, _mixing),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _depthwise),
    "EinsumDense": _einsum,
    "ReversibleEmbedding": _reversible,
    "PReLU": _apart,
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _normalization_over_channels,
    "RMSNormalization": _normalization_over_channels,
    "UnitNormalization": _apart,
    "GroupNormalization": _group_normalization,
    "LayerScale": _layer_scale,
    "Normalization": _normalization,
}
