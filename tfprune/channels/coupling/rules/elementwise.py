"""What computes each channel from itself, and what merges tensors channel by channel."""

import keras
import numpy as np

from tfprune.channels.coupling.call_site import (
    CONSTANT,
    Keeping,
    Opaque,
    Site,
    channel_axis,
    place,
    unlabelled,
)
from tfprune.channels.coupling.ledger import Labels

ELEMENTWISE_FUNCTIONS = frozenset("""
    linear relu relu6 leaky_relu elu selu celu gelu silu swish sigmoid hard_sigmoid hard_silu
    hard_swish log_sigmoid softplus softsign tanh hard_tanh tanh_shrink hard_shrink soft_shrink
    exponential exp mish squareplus sparse_plus sparse_sigmoid threshold
    """.split())

_UNARY = """
    ReLU LeakyReLU ELU Identity Dropout AlphaDropout GaussianDropout GaussianNoise
    SpatialDropout1D SpatialDropout2D SpatialDropout3D ActivityRegularization StochasticDepth
    Relu Relu6 LeakyRelu Elu Selu Celu Gelu Silu HardSilu Sigmoid HardSigmoid LogSigmoid Softplus
    Softsign Tanh HardTanh TanhShrink HardShrink SoftShrink Squareplus Threshold SparsePlus Mish
    Absolute Abs Negative Square Sqrt Rsqrt Reciprocal Exp Expm1 Log Log1p Log2 Log10 Sign Floor
    Ceil Round Clip Cast Sin Cos Tan Sinh Cosh Arctan Erf StopGradient Isfinite Isnan Isinf
    LogicalNot ZerosLike OnesLike
    """.split()
_MERGING = """
    Add Subtract Multiply Average Maximum Minimum Divide TrueDivide DivideNoNan Power Mod
    Equal NotEqual Greater GreaterEqual Less LessEqual LogicalAnd LogicalOr Where
    """.split()
KEEPING_PLACES = frozenset([*_UNARY, *_MERGING, "Activation"])  # what is computed place by place
_SPATIAL = [
    f"{name}{rank}D"
    for name in ("MaxPooling", "AveragePooling", "ZeroPadding", "Cropping", "UpSampling")
    for rank in (1, 2, 3)
]
_GLOBAL = [f"Global{name}Pooling{rank}D" for name in ("Average", "Max") for rank in (1, 2, 3)]


def require_elementwise(site: Site, labels: Labels, function: object) -> None:
    """Freeze channels that a layer's activation mixes, or may mix."""
    name = getattr(function, "__name__", type(function).__name__)
    module = str(getattr(function, "__module__", ""))
    if function is None or (name in ELEMENTWISE_FUNCTIONS and module.startswith("keras")):
        return
    mixing = name in ("softmax", "log_softmax", "glu", "sparsemax")
    known = "computes over its channels" if mixing else "may compute over its channels"
    site.book.ledger.freeze(labels, f"'{site.name}' ends in {name}, which {known}")


def _unary(site: Site) -> list[Labels]:
    if site.labelled and not isinstance(site.operation, keras.layers.Layer):
        for name, value in vars(site.operation).items():  # such as the bounds of `clip`
            if not name.startswith("_") and any(size != 1 for size in np.shape(value)):
                raise Opaque(CONSTANT)
    return [site.inputs[0]]


def _dropout(site: Site) -> list[Labels]:
    """Dropout: its config may count the channels that are dropped apart."""
    noise, (labels, *_) = getattr(site.operation, "noise_shape", None), site.inputs
    if noise is None:
        return [labels]
    if len(noise) != labels.ndim + 1:
        raise Opaque("its `noise_shape` has other axes than its input")
    counted = {}
    for axis, size in enumerate(noise[1:]):
        if size not in (None, 1):
            varies = labels.shape[axis] > 1
            counted[axis + 1] = site.along(0, axis) if varies else np.zeros(size, int)
            site.share(("noise", axis), counted[axis + 1])

    def change(config: dict[str, object], keeping: Keeping) -> None:
        sizes = list(noise)
        for axis, vector in counted.items():
            sizes[axis] = keeping.count(vector) if vector.any() else sizes[axis]
        config["noise_shape"] = tuple(sizes)

    site.resize(change)
    return [labels]


def _activation(site: Site) -> list[Labels]:
    require_elementwise(site, site.inputs[0], site.operation.activation)
    return [site.inputs[0]]


def _softmax(site: Site) -> list[Labels]:
    axes = getattr(site.operation, "axis", -1)
    rank = len(site.shapes[0])
    if axes is None and site.labelled:
        raise Opaque("it computes over channels and the batch")
    if axes is None:
        return [unlabelled(site.out_shapes[0])]
    for axis in axes if isinstance(axes, tuple | list) else [axes]:
        behind = axis - 1 if axis > 0 else axis
        if axis == 0 or site.inputs[0].shape[behind % rank] > 1:
            raise Opaque("it computes over channels")
    return merge(site)  # with its mask


def _rescaling(site: Site) -> list[Labels]:
    if np.ndim(site.operation.scale) or np.ndim(site.operation.offset):
        raise Opaque("it has a factor for each channel")
    return [site.inputs[0]]


def _spatial(site: Site) -> list[Labels]:
    axis = channel_axis(site.operation)
    return [place(site.along(0, axis), len(site.shapes[0]), axis)]


def _pooled_over_all(site: Site) -> list[Labels]:
    axis = channel_axis(site.operation)
    rank = len(site.out_shapes[0])
    return [place(site.along(0, axis), rank, axis if site.operation.keepdims else -1)]


def merge(site: Site) -> list[Labels]:
    """Tie what is combined position by position, broadcasting as NumPy does."""
    if site.labelled and any(site.has_constants(name) for name in site.arguments):
        raise Opaque(CONSTANT)  # masks among them
    rank = len(site.out_shapes[0])
    if not site.labelled:
        return [unlabelled(site.out_shapes[0])]
    padded = [
        (
            labels.reshape((1,) * (rank - labels.ndim) + labels.shape),
            (1,) * (rank - len(shape)) + tuple(shape),
        )
        for labels, shape in zip(site.inputs, site.shapes)
    ]
    axes = [axis for axis in range(rank) if any(labels.shape[axis] > 1 for labels, _ in padded)]
    if len(axes) > 1:
        return [_merge_all(site, padded)]
    if not axes:  # single channels
        return [_merge_single(site, padded, rank)]
    (axis,) = axes
    merged = None
    for labels, shape in padded:
        if shape[axis] == 1:
            # One channel against many: it goes on in each, and cannot go alone.
            site.book.ledger.freeze(labels, f"'{site.name}' combines it with many channels")
            continue
        vector = site.vector(labels, shape, axis)
        if merged is None:
            merged = vector
        else:
            site.tie(merged, vector)
    assert merged is not None
    return [place(merged, rank, axis)]


def _merge_single(
    site: Site, padded: list[tuple[Labels, tuple[int | None, ...]]], rank: int
) -> Labels:
    flat = [labels.reshape(-1) for labels, _ in padded]
    sizes = {shape for _, shape in padded}
    if len(sizes) > 1:
        for labels in flat:
            site.book.ledger.freeze(labels, f"'{site.name}' combines it with other shapes")
        return np.zeros((1,) * rank, int)
    for labels in flat[1:]:
        site.tie(flat[0], labels)
    return padded[0][0]


def _merge_all(site: Site, padded: list[tuple[Labels, tuple[int | None, ...]]]) -> Labels:
    if len({shape for _, shape in padded}) > 1:
        raise Opaque("it combines tensors of several shapes, whose channels lie on several axes")
    shape = np.broadcast_shapes(*(labels.shape for labels, _ in padded))
    full = [np.broadcast_to(labels, shape) for labels, _ in padded]
    for labels in full[1:]:
        site.tie(full[0], labels)
    return full[0]


RULES = {
    **dict.fromkeys(_UNARY, _unary),
    **dict.fromkeys(_MERGING, merge),
    **dict.fromkeys(_SPATIAL, _spatial),
    **dict.fromkeys(_GLOBAL, _pooled_over_all),
    **dict.fromkeys(("Dropout", "AlphaDropout"), _dropout),
    "Activation": _activation,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Rescaling": _rescaling,
    "Resizing": _spatial,
    "CustomScaleLayer": merge,  # x + scale * y, of InceptionResNetV2 in keras.applications
}
