"""Convolutional classifiers."""

import keras
from keras import layers


def digits_cnn(
    input_shape: tuple[int, int, int] = (8, 8, 1), classes: int = 10, *, width: int = 32
) -> keras.Model:
    """A small CNN for digit-sized images: Conv-BN-ReLU, Conv-ReLU, pool, Dense, Dense.

    The first convolution halves the image where a side has 16 pixels or more. With c input
    channels and p pixels left after pooling, the parameters number

        (9 c + 5) w + (9 w + 1) 2 w + (2 p w + 1) 4 w + (4 w + 1) classes,  w = width:

    151,434 for 8x8 digits (p = 16) and 421,770 for 28x28 images (p = 49), at width 32.

    Args:
        input_shape: (height, width, channels), each side at least 4 pixels.
        classes: number of classes, at least 2; the model returns that many logits.
        width: channels of the first convolution, at least 1; every other width follows from it.

    Returns:
        An uncompiled functional model, (batch, height, width, channels) -> (batch, classes).

    Raises:
        ValueError: if a size is out of its range.

    Example:
        >>> digits_cnn((8, 8, 1), 10).count_params()
        151434
    """
    if len(input_shape) != 3 or min(input_shape[:2]) < 4 or input_shape[2] < 1:
        raise ValueError(
            "`input_shape` must be (height, width, channels) with sides of at least 4. "
            f"Received: input_shape={input_shape}"
        )
    if classes < 2:
        raise ValueError(f"`classes` must be at least 2. Received: classes={classes}")
    if width < 1:
        raise ValueError(f"`width` must be at least 1. Received: width={width}")
    strides = 2 if min(input_shape[:2]) >= 16 else 1
    inputs = keras.Input(input_shape, name="image")
    x = layers.Conv2D(width, 3, strides=strides, padding="same", name="conv1")(inputs)
    x = layers.BatchNormalization(momentum=0.9, name="conv1_bn")(x)
    x = layers.ReLU(name="conv1_relu")(x)
    x = layers.Conv2D(2 * width, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(4 * width, activation="relu", name="dense1")(x)
    outputs = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, outputs, name="digits_cnn")
