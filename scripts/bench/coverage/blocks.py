"""Pieces that the networks are put together from; each takes a tensor and gives one."""

from keras import KerasTensor, layers


def conv(
    x: KerasTensor,
    filters: int,
    kernel: int | tuple[int, int] = 3,
    strides: int = 1,
    activation: str | None = "relu",
    **options: object,
) -> KerasTensor:
    """A convolution with SAME padding, batch normalization and an activation."""
    options = {"padding": "same", "use_bias": False, **options}
    x = layers.Conv2D(filters, kernel, strides=strides, **options)(x)
    x = layers.BatchNormalization()(x)
    return x if activation is None else layers.Activation(activation)(x)


def depthwise(
    x: KerasTensor, kernel: int = 3, strides: int = 1, activation: str | None = "relu6"
) -> KerasTensor:
    """A depthwise convolution, as in MobileNet."""
    x = layers.DepthwiseConv2D(kernel, strides=strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return x if activation is None else layers.Activation(activation)(x)


def separable(x: KerasTensor, filters: int, strides: int = 1, kernel: int = 3) -> KerasTensor:
    """A block of MobileNetV1."""
    return conv(depthwise(x, kernel, strides), filters, 1, activation="relu6")


def inverted(
    x: KerasTensor,
    filters: int,
    strides: int = 1,
    expand: int = 6,
    kernel: int = 3,
    squeeze: bool = False,
    activation: str = "relu6",
) -> KerasTensor:
    """A block of MobileNetV2, with squeezing one of MobileNetV3."""
    y = conv(x, expand * x.shape[-1], 1, activation=activation) if expand > 1 else x
    y = depthwise(y, kernel, strides, activation)
    y = excite(y) if squeeze else y
    y = conv(y, filters, 1, activation=None)
    return layers.Add()([x, y]) if strides == 1 and x.shape[-1] == filters else y


def excite(x: KerasTensor, keep: bool = True) -> KerasTensor:
    """Squeeze-and-excite; without `keep` its factors lose the axes of height and width."""
    channels = x.shape[-1]
    y = layers.GlobalAveragePooling2D(keepdims=keep)(x)
    y = layers.Dense(channels // 4, "relu")(y)
    return layers.Multiply()([x, layers.Dense(channels, "sigmoid")(y)])


def residual(
    x: KerasTensor, filters: int, strides: int = 1, squeeze: bool = False, groups: int = 1
) -> KerasTensor:
    """Two 3x3 convolutions and what they are added to."""
    y = conv(x, filters, 3, strides)
    y = conv(y, filters, 3, activation=None, groups=groups)
    y = excite(y, keep=False) if squeeze else y
    if strides > 1 or x.shape[-1] != filters:
        x = conv(x, filters, 1, strides, activation=None)
    return layers.ReLU()(layers.Add()([x, y]))


def bottleneck(x: KerasTensor, filters: int, strides: int = 1, groups: int = 1) -> KerasTensor:
    """1x1, 3x3 and 1x1 convolutions and what they are added to."""
    y = conv(conv(x, filters, 1), filters, 3, strides, groups=groups)
    y = conv(y, 4 * filters, 1, activation=None)
    if strides > 1 or x.shape[-1] != 4 * filters:
        x = conv(x, 4 * filters, 1, strides, activation=None)
    return layers.ReLU()(layers.Add()([x, y]))


def preactivated(x: KerasTensor, filters: int, strides: int = 1) -> KerasTensor:
    """A block of a residual network whose normalization comes first."""
    y = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(filters, 3, strides=strides, padding="same")(y)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.Conv2D(filters, 3, padding="same")(y)
    if strides > 1 or x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, strides=strides)(x)
    return layers.Add()([x, y])


def fire(x: KerasTensor, squeezed: int, filters: int) -> KerasTensor:
    """A block of SqueezeNet."""
    x = conv(x, squeezed, 1)
    return layers.Concatenate()([conv(x, filters, 1), conv(x, filters, 3)])


def inception(x: KerasTensor, filters: int) -> KerasTensor:
    """Convolutions of three sizes and a pool, side by side."""
    pooled = layers.MaxPooling2D(3, strides=1, padding="same")(x)
    return layers.Concatenate()(
        [
            conv(x, filters, 1),
            conv(conv(x, filters, 1), filters, 3),
            conv(conv(x, filters // 2, 1), filters, 5),
            conv(pooled, filters, 1),
        ]
    )


def dense_block(x: KerasTensor, growth: int, depth: int) -> KerasTensor:
    """Convolutions that each see what all before them gave."""
    for _ in range(depth):
        x = layers.Concatenate()([x, conv(conv(x, 2 * growth, 1), growth, 3)])
    return x


def shuffled(x: KerasTensor, filters: int, groups: int = 4) -> KerasTensor:
    """A block of ShuffleNet: grouped 1x1 convolutions with the channels dealt out in between."""
    y = conv(x, filters, 1, groups=groups)
    height, width = y.shape[1:3]
    y = layers.Reshape((height, width, groups, filters // groups))(y)
    y = layers.Reshape((height, width, filters))(layers.Permute((1, 2, 4, 3))(y))
    y = conv(depthwise(y, activation=None), filters, 1, activation=None, groups=groups)
    return layers.ReLU()(layers.Add()([x, y]))


def pooled(x: KerasTensor, classes: int = 10) -> KerasTensor:
    """The usual head of a classifier."""
    return layers.Dense(classes)(layers.GlobalAveragePooling2D()(x))
