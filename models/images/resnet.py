"""ResNet-20, 32 and 56 for small images (He et al., "Deep Residual Learning", CVPR 2016, sec. 4.2).

Shortcuts are those of option A, without weights: where a stage halves the image, the input is
subsampled and its channels are padded with zeros. Images go in after `normalize`.
"""

import os

import keras
import numpy as np
from keras import layers, ops

from models.checks import check_image_model
from models.images import pretrained

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def normalize(images: np.ndarray) -> np.ndarray:
    """Return the images as the pretrained weights expect them: (image - MEAN) / STD by channel.

    Args:
        images: (n, height, width, 3) in [0, 1].

    Returns:
        float32 of the same shape.

    Example:
        >>> normalize(MEAN.reshape(1, 1, 1, 3)).tolist()
        [[[[0.0, 0.0, 0.0]]]]
    """
    return ((images - MEAN) / STD).astype(np.float32)


def resnet20(classes: int = 10, *, width: int = 16) -> keras.Model:
    """ResNet-20 for 32 x 32 images: `small_image_resnet` of three residual blocks a stage.

    269,722 parameters are trainable for 10 classes at width 16. 268,336 of them are kernels; 1,376
    moving statistics are not trained.

    Args:
        classes: number of classes, at least 2; the model returns that many logits.
        width: channels of the first stage, at least 1.

    Returns:
        An uncompiled functional model, (batch, 32, 32, 3) -> (batch, classes).

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> resnet20().count_params() - 1376
        269722
    """
    return small_image_resnet(20, classes=classes, width=width)


def small_image_resnet(
    depth: int,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    *,
    width: int = 16,
) -> keras.Model:
    """A residual network for small images: a convolution, three stages of blocks, pooling, Dense.

    The stages have w, 2w and 4w channels, on 32, 16 and 8 pixels a side where the image has 32.
    Of the parameters, with c input channels and n = (depth - 2) / 6 blocks a stage,

        9 ((42 n - 10) w^2 + c w) + (28 n + 2) w + (4 w + 1) classes

    are trainable (convolutions, batch normalization, Dense): at w = 16, for 10 classes of colour
    images, 269,722 with depth 20, 464,154 with 32 and 853,018 with 56 (0.27M, 0.46M and 0.85M in
    the paper). Besides, there are (28 n + 2) w moving statistics.

    Args:
        depth: layers with weights, 6 n + 2: 20, 32, 44, 56, 110, ...
        input_shape: (height, width, channels).
        classes: number of classes, at least 2; the model returns that many logits.
        width: w, channels of the first stage, at least 1.

    Returns:
        An uncompiled functional model, (batch, height, width, channels) -> (batch, classes).

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> small_image_resnet(8, (28, 28, 1), width=4).output_shape
        (None, 10)
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise ValueError(f"`depth` must be 6 n + 2, such as 20 or 56. Received: depth={depth}")
    if width < 1:
        raise ValueError(f"`width` must be at least 1. Received: width={width}")
    check_image_model(input_shape, classes, width, least=1)
    inputs = keras.Input(input_shape, name="image")
    x = layers.ReLU(name="relu1")(_convolution(inputs, width, "conv1", "bn1"))
    for stage, channels in enumerate((width, 2 * width, 4 * width), start=1):
        for block in range(blocks):
            strides = 2 if stage > 1 and block == 0 else 1
            x = _residual_block(x, channels, strides, f"layer{stage}_{block}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = layers.Dense(classes, name="linear")(x)
    return keras.Model(inputs, outputs, name=f"resnet{depth}")


def load_resnet20(path: str | os.PathLike[str]) -> keras.Model:
    """ResNet-20 with the weights of an .npz file.

    Args:
        path: file with one array a variable, named `<layer>/<variable>` as in `resnet20`
            ("conv1/kernel", "layer1_0_bn1/gamma", ..., "linear/bias"). Width and number of
            classes are taken from it.

    Returns:
        The model.

    Raises:
        ValueError: if the file cannot be read, or lacks an array or has one that does not fit.
    """

    def build(arrays: dict[str, np.ndarray]) -> keras.Model:
        return resnet20(arrays["linear/bias"].size, width=arrays["conv1/kernel"].shape[-1])

    return pretrained.load(path, "a ResNet-20", build)


def _residual_block(x, channels: int, strides: int, name: str):
    """Two convolutions beside the shortcut."""
    y = _convolution(x, channels, f"{name}_conv1", f"{name}_bn1", strides)
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = _convolution(y, channels, f"{name}_conv2", f"{name}_bn2")
    if strides == 2:
        x = _subsampled(x, channels)
    return layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([y, x]))


def _subsampled(x, channels: int):
    """Every second pixel in both directions, with zeros before and after the channels."""
    missing = channels - x.shape[-1]
    padding = (missing // 2, missing - missing // 2)
    return ops.pad(x[:, ::2, ::2, :], ((0, 0), (0, 0), (0, 0), padding))


def _convolution(x, channels: int, name: str, norm: str, strides: int = 1):
    """3 x 3 convolution without bias, and batch normalization."""
    if strides == 2:
        # padding="same" would pad an even side at its end only, where the weights expect a
        # border of one pixel all round.
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = layers.Conv2D(
        channels,
        3,
        strides=strides,
        padding="same" if strides == 1 else "valid",
        use_bias=False,
        name=name,
    )(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=norm)(x)
