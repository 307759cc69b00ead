"""What moves channels about: reshaping, transposing, joining, slicing, reducing other axes."""

import math

import numpy as np

from tfprune.channels.coupling.call_site import Keeping, Opaque, Shape, Site, place, unlabelled
from tfprune.channels.coupling.ledger import Labels
from tfprune.channels.coupling.rules.readers import reads_last_axis

_REDUCTIONS = "Mean Sum Max Min Amax Amin Prod Var Std Any All Logsumexp CountNonzero".split()


def _flatten(site: Site) -> list[Labels]:
    labels, shape = site.inputs[0], site.shapes[0]
    if getattr(site.operation, "data_format", None) == "channels_first" and len(shape) > 1:
        labels, shape = np.moveaxis(labels, 0, -1), (*shape[1:], shape[0])
    return [_reshaped(site, labels, shape)]


def _reshape(site: Site) -> list[Labels]:
    labels = _reshaped(site, site.inputs[0], site.shapes[0])
    out, is_layer = site.out_shapes[0], hasattr(site.operation, "target_shape")
    key = "target_shape" if is_layer else "newshape"
    given = getattr(site.operation, key)[0 if is_layer else 1 :]
    for axis, (size, length) in enumerate(zip(given, out)):
        if size != -1 and length is not None:  # a number in the config, the same at every call
            site.share(("sizes", axis), np.broadcast_to(_along(labels, axis), (length,)))
    if labels.any():
        if not is_layer and len(site.operation.newshape) != len(out) + 1:
            raise Opaque("it reshapes the batch")

        def change(config: dict[str, object], keeping: Keeping) -> None:
            shape = config[key]
            assert isinstance(shape, tuple | list)
            sizes = list(shape)
            for axis, size in enumerate(labels.shape):
                place_in = axis if is_layer else axis + 1
                if size > 1 and sizes[place_in] != -1:
                    sizes[place_in] = keeping.count(_along(labels, axis))
            config[key] = tuple(sizes)

        site.resize(change)
    return [labels]


def _along(labels: Labels, axis: int) -> Labels:
    """Return the labels along an axis, where they are the same along all others."""
    return np.moveaxis(labels, axis, -1).reshape(-1, labels.shape[axis])[0]


def _reshaped(site: Site, labels: Labels, shape: Shape) -> Labels:
    out = site.out_shapes[0]
    if not labels.any():
        return unlabelled(out)
    if None in shape or None in out:
        # In row-major order the last axis is intact if its length is.
        if shape[-1] != out[-1] or out[-1] is None or labels.size != labels.shape[-1]:
            raise Opaque("it reshapes axes of lengths that are not known")
        return place(labels.reshape(-1), len(out), -1)
    if math.prod(shape) != math.prod(out):  # type: ignore[arg-type]
        raise Opaque("it reshapes the batch")
    full = np.broadcast_to(labels, shape).reshape(out)  # type: ignore[arg-type]
    found = _narrowed(full)
    axes = [axis for axis, size in enumerate(found.shape) if size > 1]
    if len(axes) < 2:
        return found
    # An axis is split in two, as channels into heads: what is split off goes together. Into
    # positions and channels, such as before a convolution: all positions of a channel do.
    axis = axes[-1] if axes[-1] == len(out) - 1 and reads_last_axis(site.operation) else axes[0]
    rows = np.moveaxis(found, axis, 0).reshape(found.shape[axis], -1)
    site.tie(rows[:, :1], rows[:, 1:], same=False)
    return place(rows[:, 0], len(out), axis)


def _narrowed(labels: Labels) -> Labels:
    """Return labels with size 1 along the axes on which they do not differ."""
    for axis in range(labels.ndim):
        first = labels.take([0], axis)
        if labels.shape[axis] > 1 and (labels == first).all():
            labels = first
    return labels


def _permute(site: Site) -> list[Labels]:
    return [site.inputs[0].transpose([dim - 1 for dim in site.operation.dims])]


def _transpose(site: Site) -> list[Labels]:
    rank = len(site.shapes[0]) + 1
    axes = site.operation.axes
    axes = [axis % rank for axis in (axes if axes is not None else reversed(range(rank)))]
    return [site.inputs[0].transpose(_behind_batch(axes))]


def _swap_axes(site: Site) -> list[Labels]:
    rank = len(site.shapes[0]) + 1
    axes = list(range(rank))
    first, second = site.operation.axis1 % rank, site.operation.axis2 % rank
    axes[first], axes[second] = second, first
    return [site.inputs[0].transpose(_behind_batch(axes))]


def _behind_batch(axes: list[int]) -> list[int]:
    if axes[0] != 0:
        raise Opaque("it moves the batch")
    return [axis - 1 for axis in axes[1:]]


def _repeat_vector(site: Site) -> list[Labels]:
    return [site.inputs[0].reshape(1, -1)]


def _expand(site: Site) -> list[Labels]:
    rank, axes = len(site.out_shapes[0]) + 1, site.operation.axis
    where = sorted(axis % rank for axis in (axes if isinstance(axes, tuple | list) else [axes]))
    if where[0] == 0:
        raise Opaque("it moves the batch")
    return [np.expand_dims(site.inputs[0], tuple(axis - 1 for axis in where))]


def _squeeze(site: Site) -> list[Labels]:
    rank, axes = len(site.shapes[0]) + 1, site.operation.axis
    if axes is None:  # a channel that is left alone is not to go, too
        if getattr(site.tensors[0], "shape")[0] == 1:
            raise Opaque("it moves the batch")
        axes = [axis + 1 for axis, size in enumerate(site.shapes[0]) if size == 1]
        given = tuple(axes)
        site.resize(lambda config, keeping: config.update(axis=given))
    where = [axis % rank for axis in (axes if isinstance(axes, tuple | list) else [axes])]
    if 0 in where:
        raise Opaque("it moves the batch")
    return [np.squeeze(site.inputs[0], tuple(axis - 1 for axis in where))]


def _concatenate(site: Site) -> list[Labels]:
    rank = len(site.out_shapes[0])
    axis = site.operation.axis % (rank + 1) - 1
    if axis < 0:
        raise Opaque("it joins batches")
    if not site.labelled:
        return [unlabelled(site.out_shapes[0])]
    site.require_tensors(site.arguments)
    others = [
        other
        for other in range(rank)
        if other != axis and any(labels.shape[other] > 1 for labels in site.inputs)
    ]
    if not others:
        parts = [site.along(index, axis) for index in range(len(site.inputs))]
        return [place(np.concatenate(parts), rank, axis)]
    if len(others) > 1 or any(labels.shape[axis] > 1 for labels in site.inputs):
        raise Opaque("it joins tensors whose channels lie on several axes")
    first = site.along(0, others[0])
    for index in range(1, len(site.inputs)):
        site.tie(first, site.along(index, others[0]))
    return [place(first, rank, others[0])]


def _stack(site: Site) -> list[Labels]:
    """Tensors side by side along a new axis: what is at one place of each goes together."""
    axis = site.operation.axis % (len(site.out_shapes[0]) + 1) - 1
    if axis < 0:
        raise Opaque("it moves the batch")
    if site.labelled:
        site.require_tensors(site.arguments)
    for labels in site.inputs[1:]:
        site.tie(site.inputs[0], labels)
    shape = np.broadcast_shapes(*(labels.shape for labels in site.inputs))
    return [np.expand_dims(np.broadcast_to(site.inputs[0], shape), axis)]


def _split(site: Site) -> list[Labels]:
    """Parts along one axis. Where it is that of the channels, the numbers would have to follow."""
    labels = site.inputs[0]
    axis = site.operation.axis % (labels.ndim + 1) - 1
    if axis < 0 or labels.shape[axis] > 1:
        raise Opaque("it splits the batch" if axis < 0 else "it splits the channels")
    return [labels] * len(site.out_shapes)


def _pad(site: Site) -> list[Labels]:
    """Values around; of channels, zeros beside them, which go with those that they are added to.

    Shortcuts without weights widen a residual stream so.
    """
    labels = site.inputs[0]
    widths = [tuple(pair) for pair in site.operation.pad_width]
    if len(widths) == 1:  # the same for all axes
        widths = widths * (labels.ndim + 1)
    padded = [at for at, pair in enumerate(widths) if any(pair)]
    if 0 in padded:
        raise Opaque("it pads the batch")
    wide = [at for at in padded if labels.shape[at - 1] > 1]
    if not wide:
        return [labels]
    value = site.arguments.get("constant_values")
    if len(wide) > 1 or site.operation.mode != "constant" or value not in (None, 0):
        raise Opaque("it pads the channels with what is not zero")
    axis = wide[0] - 1
    vector, (before, after) = site.along(0, axis), widths[wide[0]]
    first, last = np.split(site.own("padding", before + after), [before])

    def change(config: dict[str, object], keeping: Keeping) -> None:
        left = [*widths]
        left[axis + 1] = keeping.count(first), keeping.count(last)
        config["pad_width"] = tuple(left)

    site.resize(change)
    return [place(np.concatenate([first, vector, last]), labels.ndim, axis)]


def _flip(site: Site) -> list[Labels]:
    rank, axes = site.inputs[0].ndim + 1, site.operation.axis
    chosen = range(rank) if axes is None else axes if isinstance(axes, tuple | list) else [axes]
    labels = site.inputs[0]
    for axis in chosen:
        if axis % rank == 0:
            raise Opaque("it turns the batch about")
        if labels.shape[axis % rank - 1] > 1:
            raise Opaque("it turns the channels about")
    return [labels]


def _move_axis(site: Site) -> list[Labels]:
    rank = len(site.shapes[0]) + 1
    numbered = np.empty(range(rank))  # each axis is as long as its number says
    moved = np.moveaxis(numbered, site.operation.source, site.operation.destination)
    return [site.inputs[0].transpose(_behind_batch(list(moved.shape)))]


def _slice(site: Site) -> list[Labels]:
    """Indexing that takes channel axes whole."""
    labels = site.inputs[0]
    keys = [site.arguments.get("key")]
    if not labels.any():
        return [unlabelled(site.out_shapes[0])]
    keys = list(keys[0]) if isinstance(keys[0], tuple | list) else keys
    rank = labels.ndim + 1
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        fill = rank - sum(key is not None and key is not Ellipsis for key in keys)
        keys[at : at + 1] = [slice(None)] * fill
    keys += [slice(None)] * (rank - sum(key is not None for key in keys))
    found: list[int | slice | None] = []
    axis = 0
    for key in keys:
        if key is None:
            found.append(None)
            continue
        whole = isinstance(key, slice) and key in (slice(None), slice(0, None), slice(0, None, 1))
        if not whole and (axis == 0 or labels.shape[axis - 1] > 1):
            raise Opaque("it takes some of the channels")
        if not isinstance(key, int | slice):
            raise Opaque("it takes places that are not known")
        found.append(0 if isinstance(key, int) else slice(None))
        axis += 1
    return [labels[np.newaxis][tuple(found)][0]]


def _reduce(site: Site) -> list[Labels]:
    labels = site.inputs[0]
    if not labels.any():
        return [unlabelled(site.out_shapes[0])]
    rank, axes = labels.ndim + 1, site.operation.axis
    chosen = range(rank) if axes is None else axes if isinstance(axes, tuple | list) else [axes]
    where = [axis % rank for axis in chosen]
    if 0 in where:
        raise Opaque("it reduces the batch")
    if any(labels.shape[axis - 1] > 1 for axis in where):
        raise Opaque("it computes over channels")
    if getattr(site.operation, "keepdims", False):
        return [labels]
    return [np.squeeze(labels, tuple(axis - 1 for axis in where))]


RULES = {
    **dict.fromkeys(_REDUCTIONS, _reduce),
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": _permute,
    "Transpose": _transpose,
    "Swapaxes": _swap_axes,
    "RepeatVector": _repeat_vector,
    "ExpandDims": _expand,
    "Squeeze": _squeeze,
    "Concatenate": _concatenate,
    "GetItem": _slice,
    "Stack": _stack,
    "Split": _split,
    "Pad": _pad,
    "Flip": _flip,
    "Moveaxis": _move_axis,
}
