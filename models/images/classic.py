"""Convolutional networks with dense classifiers: LeNet-300-100, LeNet-5, AlexNet and VGG-16.

Each returns logits; `width` multiplies the channels of every layer but the last.
"""

import keras
from keras import layers

from models.checks import check_dropout, check_image_model, scaled

_SMALL = 64  # pixels a side up to which VGG-16 has the head for small images
_ALEXNET_SIDE = 67  # the shortest side that leaves a pixel after AlexNet's three poolings


def lenet_300_100(
    input_shape: tuple[int, int, int] = (28, 28, 1), classes: int = 10, *, width: float = 1.0
) -> keras.Model:
    """LeNet-300-100: two hidden dense layers, of 300 and 100 units.

    266,610 parameters for 28x28 images of 10 classes.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes, at least 2; the model returns that many logits.
        width: multiplier of the hidden units, positive.

    Returns:
        An uncompiled functional model, (batch, height, width, channels) -> (batch, classes).

    Raises:
        ValueError: if a size is out of its range.

    Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE
    1998, with ReLU in place of tanh as in the pruning literature (Han et al., arXiv 1506.02626).

    Example:
        >>> lenet_300_100().count_params()
        266610
    """
    check_image_model(input_shape, classes, width, least=1)
    inputs = keras.Input(input_shape, name="image")
    x = layers.Flatten(name="flatten")(inputs)
    x = layers.Dense(scaled(300, width), activation="relu", name="dense1")(x)
    x = layers.Dense(scaled(100, width), activation="relu", name="dense2")(x)
    outputs = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, outputs, name="lenet_300_100")


def lenet_5(
    input_shape: tuple[int, int, int] = (28, 28, 1), classes: int = 10, *, width: float = 1.0
) -> keras.Model:
    """LeNet-5 as Caffe has it: convolutions of 20 and 50 channels, a dense layer of 500 units.

    431,080 parameters for 28x28 images of 10 classes, the count of the pruning literature.

    Args:
        input_shape: (height, width, channels), each side at least 16 pixels.
        classes: number of classes, at least 2; the model returns that many logits.
        width: multiplier of the channels and units, positive.

    Returns:
        An uncompiled functional model, (batch, height, width, channels) -> (batch, classes).

    Raises:
        ValueError: if a size is out of its range.

    Source: LeCun et al., Proc. IEEE 1998, in the variant of Caffe's `lenet.prototxt`, with a ReLU
    after the dense layer only, which Han et al. (arXiv 1506.02626) prune.

    Example:
        >>> lenet_5().count_params()
        431080
    """
    check_image_model(input_shape, classes, width, least=16)
    inputs = keras.Input(input_shape, name="image")
    x = layers.Conv2D(scaled(20, width), 5, name="conv1")(inputs)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(scaled(50, width), 5, name="conv2")(x)
    x = layers.MaxPooling2D(name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(scaled(500, width), activation="relu", name="dense1")(x)
    outputs = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, outputs, name="lenet_5")


def alexnet(
    input_shape: tuple[int, int, int] = (227, 227, 3),
    classes: int = 1000,
    *,
    width: float = 1.0,
    groups: int = 2,
    dropout: float = 0.5,
) -> keras.Model:
    """AlexNet: five convolutions, of which the second, fourth and fifth are in two groups.

    60,965,224 parameters for 227x227 images of 1000 classes. That is the network of the paper and
    of Caffe, whose groups were the two GPUs it was trained on; in one group (`groups=1`) it has
    62,378,344. Images with a side below 67 pixels, of which the poolings would leave nothing, get
    a first convolution of 5x5 and stride 1 in place of 11x11 and stride 4: 28,569,994 parameters
    for 32x32 images of 10 classes.

    Args:
        input_shape: (height, width, channels), each side at least 15 pixels.
        classes: number of classes, at least 2; the model returns that many logits.
        width: multiplier of the channels and units, positive; grouped channels stay even.
        groups: 2, or 1 for convolutions that see every channel.
        dropout: share of activations dropped before each hidden dense layer, in [0, 1).

    Returns:
        An uncompiled functional model, (batch, height, width, channels) -> (batch, classes).

    Raises:
        ValueError: if an argument is out of its range.

    Source: Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks",
    NeurIPS 2012. Deviation: local response normalization, which has no weights, is left out; it
    does not help accuracy (Simonyan & Zisserman, arXiv 1409.1556, section 4.1).

    Example:
        >>> alexnet((32, 32, 3), 10, width=0.25).count_params()
        1796458
    """
    check_image_model(input_shape, classes, width, least=15)
    check_dropout(dropout)
    if groups not in (1, 2):
        raise ValueError(f"`groups` must be 1 or 2. Received: groups={groups}")
    side, strides = (11, 4) if min(input_shape[:2]) >= _ALEXNET_SIDE else (5, 1)
    inputs = keras.Input(input_shape, name="image")
    x = layers.Conv2D(
        scaled(96, width, multiple=groups),
        side,
        strides=strides,
        padding="valid" if strides == 4 else "same",
        activation="relu",
        name="conv1",
    )(inputs)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for name, channels, side, divided, pooled in (
        ("conv2", 256, 5, groups, "pool2"),
        ("conv3", 384, 3, 1, None),
        ("conv4", 384, 3, groups, None),
        ("conv5", 256, 3, groups, "pool5"),
    ):
        channels = scaled(channels, width, multiple=groups)
        x = layers.Conv2D(
            channels, side, padding="same", groups=divided, activation="relu", name=name
        )(x)
        if pooled:
            x = layers.MaxPooling2D(3, strides=2, name=pooled)(x)
    x = layers.Flatten(name="flatten")(x)
    for name in ("dense6", "dense7"):
        x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
        x = layers.Dense(scaled(4096, width), activation="relu", name=name)(x)
    outputs = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, outputs, name="alexnet")


def vgg_16(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    *,
    width: float = 1.0,
    dropout: float = 0.5,
) -> keras.Model:
    """VGG-16: thirteen 3x3 convolutions in five stages, each of which a pooling halves.

    138,357,544 parameters for 224x224 images of 1000 classes. Images with a side of up to 64
    pixels, of which little is left after five poolings, get one hidden dense layer of 512 units
    in place of two of 4096, and batch normalization, without which it hardly trains from scratch:
    14,999,370 parameters for 32x32 images of 10 classes, moving statistics included.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes, at least 2; the model returns that many logits.
        width: multiplier of the channels and units, positive.
        dropout: share of activations dropped after each hidden dense layer, in [0, 1).

    Returns:
        An uncompiled functional model, (batch, height, width, channels) -> (batch, classes).

    Raises:
        ValueError: if an argument is out of its range.

    Source: Simonyan & Zisserman, arXiv 1409.1556, configuration D; for small images the variant
    that Li et al. prune (arXiv 1608.08710, 1.5e7 parameters).

    Example:
        >>> vgg_16((32, 32, 3), 10, width=0.25).count_params()
        942810
    """
    check_image_model(input_shape, classes, width, least=1)
    check_dropout(dropout)
    small = min(input_shape[:2]) <= _SMALL
    inputs = x = keras.Input(input_shape, name="image")
    stages = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
    for stage, (convolutions, channels) in enumerate(stages, start=1):
        for number in range(1, convolutions + 1):
            name = f"conv{stage}_{number}"
            x = layers.Conv2D(scaled(channels, width), 3, padding="same", name=name)(x)
            if small:
                x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        # "same" halves 224 pixels as "valid" does, and keeps the one pixel that 28 come down to.
        x = layers.MaxPooling2D(padding="same", name=f"pool{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate((512,) if small else (4096, 4096), start=1):
        x = layers.Dense(scaled(units, width), activation="relu", name=f"dense{number}")(x)
        x = layers.Dropout(dropout, name=f"dense{number}_dropout")(x)
    outputs = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, outputs, name="vgg_16")
