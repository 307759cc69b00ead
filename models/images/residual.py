"""A small residual convolutional classifier."""

import keras
from keras import layers


def small_resnet(
    input_shape: tuple[int, int, int] = (8, 8, 1),
    classes: int = 10,
    *,
    width: int = 8,
    blocks: int = 2,
) -> keras.Model:
    """A residual network of two stages, the second at half the resolution and twice the width.

    A stem Conv-BN-ReLU; in each stage `blocks` residual blocks (Conv-BN-ReLU-Conv-BN, added to the
    shortcut, ReLU); the shortcut into the second stage is a 1x1 Conv-BN; global average pooling and
    a Dense layer. Convolutions have no bias. With c input channels the parameters, moving
    statistics included, number

        (90 b - 16) w^2 + (9 c + 24 b + 12) w + (2 w + 1) classes,  w = width, b = blocks:

    11,218 for 8x8 digits at width 8 and 2 blocks a stage, in which 120 filters are normalized.

    Args:
        input_shape: (height, width, channels), each side at least 2 pixels.
        classes: number of classes, at least 2; the model returns that many logits.
        width: channels of the stem and the first stage, at least 1.
        blocks: residual blocks in each stage, at least 1.

    Returns:
        An uncompiled functional model, (batch, height, width, channels) -> (batch, classes).

    Raises:
        ValueError: if a size is out of its range.

    Example:
        >>> small_resnet().count_params()
        11218
    """
    if len(input_shape) != 3 or min(input_shape[:2]) < 2 or input_shape[2] < 1:
        raise ValueError(
            "`input_shape` must be (height, width, channels) with sides of at least 2. "
            f"Received: input_shape={input_shape}"
        )
    for name, value, least in (("classes", classes, 2), ("width", width, 1), ("blocks", blocks, 1)):
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}. Received: {name}={value}")
    inputs = keras.Input(input_shape, name="image")
    x = _normalized(inputs, width, 3, 1, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    for stage, channels in enumerate((width, 2 * width), start=1):
        for block in range(1, blocks + 1):
            name = f"stage{stage}_block{block}"
            strides = 2 if stage == 2 and block == 1 else 1
            y = _normalized(x, channels, 3, strides, f"{name}_1")
            y = layers.ReLU(name=f"{name}_1_relu")(y)
            y = _normalized(y, channels, 3, 1, f"{name}_2")
            if strides == 2:
                x = _normalized(x, channels, 1, strides, f"{name}_shortcut")
            x = layers.Add(name=f"{name}_add")([x, y])
            x = layers.ReLU(name=f"{name}_relu")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, outputs, name="small_resnet")


def _normalized(
    x: keras.KerasTensor, channels: int, side: int, strides: int, name: str
) -> keras.KerasTensor:
    """A convolution and its batch normalization."""
    convolution = layers.Conv2D(
        channels, side, strides=strides, padding="same", use_bias=False, name=name
    )
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(convolution(x))
