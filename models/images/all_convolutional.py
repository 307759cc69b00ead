"""Networks of convolutions alone, for 32x32 images: All-CNN-C and Network in Network.

Each returns logits; `width` multiplies the channels of every layer but the last.
"""

import keras
from keras import layers

from models.checks import check_dropout, check_image_model, scaled


def all_cnn_c(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    dropout: float = 0.5,
    input_dropout: float = 0.2,
) -> keras.Model:
    """All-CNN-C: nine convolutions, two of stride 2 in place of poolings, and a global average.

    1,369,738 parameters for 32x32 images of 10 classes, 1.37M; without batch normalization.

    Args:
        input_shape: (height, width, channels), each side at least 9 pixels.
        classes: number of classes, at least 2; the model returns that many logits.
        width: multiplier of the channels, positive.
        dropout: share of activations dropped after each convolution of stride 2, in [0, 1).
        input_dropout: share of the input dropped, in [0, 1).

    Returns:
        An uncompiled functional model, (batch, height, width, channels) -> (batch, classes).

    Raises:
        ValueError: if an argument is out of its range.

    Source: Springenberg et al., "Striving for Simplicity", arXiv 1412.6806, table 1. Deviation:
    the last convolution has no ReLU, which would leave a class without a gradient where its logit
    is negative.

    Example:
        >>> all_cnn_c().count_params()
        1369738
    """
    check_image_model(input_shape, classes, width, least=9)
    check_dropout(dropout)
    if not 0 <= input_dropout < 1:
        raise ValueError(
            f"`input_dropout` must be in [0, 1). Received: input_dropout={input_dropout}"
        )
    inputs = keras.Input(input_shape, name="image")
    x = layers.Dropout(input_dropout, name="image_dropout")(inputs)
    narrow, wide = scaled(96, width), scaled(192, width)
    for number, (channels, side, strides, padding) in enumerate(
        (
            (narrow, 3, 1, "same"),
            (narrow, 3, 1, "same"),
            (narrow, 3, 2, "same"),
            (wide, 3, 1, "same"),
            (wide, 3, 1, "same"),
            (wide, 3, 2, "same"),
            (wide, 3, 1, "valid"),  # 8x8 to the 6x6 that the paper averages over
            (wide, 1, 1, "same"),
        ),
        start=1,
    ):
        x = _convolution(x, channels, side, f"conv{number}", strides=strides, padding=padding)
        if strides == 2:
            x = layers.Dropout(dropout, name=f"conv{number}_dropout")(x)
    x = layers.Conv2D(classes, 1, kernel_initializer="he_normal", name="conv9")(x)
    outputs = layers.GlobalAveragePooling2D(name="logits")(x)
    return keras.Model(inputs, outputs, name="all_cnn_c")


def network_in_network(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: float = 1.0,
    dropout: float = 0.5,
) -> keras.Model:
    """Network in Network: three convolutions, each followed by two of 1x1, and a global average.

    966,986 parameters for 32x32 images of 10 classes, 0.97M.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes, at least 2; the model returns that many logits.
        width: multiplier of the channels, positive.
        dropout: share of activations dropped after each pooling, in [0, 1).

    Returns:
        An uncompiled functional model, (batch, height, width, channels) -> (batch, classes).

    Raises:
        ValueError: if an argument is out of its range.

    Source: Lin et al., "Network In Network", arXiv 1312.4400, with the sizes of the authors' model
    for CIFAR-10 in Caffe's Model Zoo. Deviation: the last convolution has no ReLU, see `all_cnn_c`.

    Example:
        >>> network_in_network().count_params()
        966986
    """
    check_image_model(input_shape, classes, width, least=1)
    check_dropout(dropout)
    inputs = x = keras.Input(input_shape, name="image")
    for block, (side, sizes) in enumerate(((5, (192, 160, 96)), (5, (192, 192, 192))), start=1):
        for number, channels in enumerate(sizes, start=1):
            kernel = side if number == 1 else 1
            x = _convolution(x, scaled(channels, width), kernel, f"conv{block}_{number}")
        pooling = layers.MaxPooling2D if block == 1 else layers.AveragePooling2D
        x = pooling(3, strides=2, padding="same", name=f"pool{block}")(x)
        x = layers.Dropout(dropout, name=f"pool{block}_dropout")(x)
    x = _convolution(x, scaled(192, width), 3, "conv3_1")
    x = _convolution(x, scaled(192, width), 1, "conv3_2")
    x = layers.Conv2D(classes, 1, kernel_initializer="he_normal", name="conv3_3")(x)
    outputs = layers.GlobalAveragePooling2D(name="logits")(x)
    return keras.Model(inputs, outputs, name="network_in_network")


def _convolution(
    x: keras.KerasTensor,
    channels: int,
    side: int,
    name: str,
    *,
    strides: int = 1,
    padding: str = "same",
) -> keras.KerasTensor:
    """A convolution and its ReLU, initialized so that nine of them without normalization train."""
    return layers.Conv2D(
        channels,
        side,
        strides=strides,
        padding=padding,
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
    )(x)
