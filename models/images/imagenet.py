"""MobileNetV1, InceptionV3 and ResNet-50 of `keras.applications`, for images of any size.

A small image (a side of up to 64 pixels) would leave hardly a pixel after the five halvings that
these networks have. Their stem, the layers before the first block, then keeps the image's size:
strides of 1, "same" padding and no pooling; ResNet-50's first kernel becomes 3x3. The blocks are
the same. The models return logits, and their weights are random.
"""

import re
from typing import Any

import keras
from keras import layers

from models.checks import check_dropout, check_image_model, scaled

_SMALL = 64  # pixels a side up to which an image gets the stem for small images
_INCEPTION_SIDE = 75  # pixels of a larger image that InceptionV3 needs
_MADE_UP = re.compile(r"([a-z]+(?:_[a-z]+)*(?:2d)?)(?:_(\d+))?")  # "conv2d", "conv2d_94"
_KINDS = {
    "activation": "relu",
    "average_pooling2d": "average_pool",
    "batch_normalization": "bn",
    "concatenate": "concat",
    "conv2d": "conv",
    "global_average_pooling2d": "global_pool",
    "max_pooling2d": "max_pool",
}

# Of the stem for small images, by layer: what to change in its configuration; None removes it.
_Stem = dict[str, dict[str, Any] | None]
_MOBILENET_STEM: _Stem = {"conv1": {"strides": 1}}
_INCEPTION_STEM: _Stem = {
    "conv1": {"strides": 1, "padding": "same"},
    "conv2": {"padding": "same"},
    "max_pool1": None,
    "conv5": {"padding": "same"},
    "max_pool2": None,
}
_RESNET_STEM: _Stem = {
    "conv1_pad": {"padding": 1},
    "conv1_conv": {"kernel_size": 3, "strides": 1},
    "pool1_pad": None,
    "pool1_pool": None,
}


def mobilenet_v1(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    *,
    width: float = 1.0,
    dropout: float = 1e-3,
    momentum: float = 0.99,
) -> keras.Model:
    """MobileNetV1: a convolution and 13 depthwise-separable ones, at a width multiplier.

    4,253,864 parameters at width 1 for 1000 classes, moving statistics included; 2,601,976 at 0.75,
    1,342,536 at 0.5 and 475,544 at 0.25. 3,239,114 at width 1 for 10 classes. The stem for small
    images has as many.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes, at least 2; the model returns that many logits.
        width: alpha of the paper, the multiplier of the channels, at least 1/32.
        dropout: share of activations dropped before the last layer, in [0, 1).
        momentum: of the moving statistics of batch normalization, in [0, 1). The default forgets
            slowly: trainings of fewer than a thousand steps do better with 0.9.

    Returns:
        An uncompiled functional model, (batch, height, width, channels) -> (batch, classes).

    Raises:
        ValueError: if an argument is out of its range.

    Source: Howard et al., "MobileNets", arXiv 1704.04861.

    Example:
        >>> mobilenet_v1((32, 32, 3), 10, width=0.25).count_params()
        221114
    """
    _check(input_shape, classes, width, momentum, least=1)
    check_dropout(dropout)
    if int(32 * width) < 1:
        raise ValueError(f"`width` must be at least 1/32. Received: width={width}")
    model = keras.applications.MobileNet(
        alpha=width,
        dropout=dropout,
        weights=None,
        classes=classes,
        classifier_activation=None,
        name="mobilenet_v1",
    )
    return _adapted(model, input_shape, stem=_MOBILENET_STEM, momentum=momentum)


def inception_v3(
    input_shape: tuple[int, int, int] = (299, 299, 3),
    classes: int = 1000,
    *,
    width: float = 1.0,
    momentum: float = 0.99,
) -> keras.Model:
    """InceptionV3: 94 convolutions in a stem and eleven blocks of parallel branches.

    23,851,784 parameters at width 1 for 1000 classes, moving statistics included; the stem for
    small images has as many. Layers are numbered by kind from 1 (`conv1` to `conv94`, `bn1`, ...),
    the same in every model.

    Args:
        input_shape: (height, width, channels), each side at least 7 pixels, or 75 above 64.
        classes: number of classes, at least 2; the model returns that many logits.
        width: multiplier of the channels, positive.
        momentum: of the moving statistics of batch normalization, see `mobilenet_v1`.

    Returns:
        An uncompiled functional model, (batch, height, width, channels) -> (batch, classes).

    Raises:
        ValueError: if an argument is out of its range.

    Source: Szegedy et al., "Rethinking the Inception Architecture", arXiv 1512.00567.

    Example:
        >>> inception_v3((32, 32, 3), 10, width=0.125).count_params()
        348982
    """
    least = 7 if min(input_shape[:2]) <= _SMALL else _INCEPTION_SIDE
    _check(input_shape, classes, width, momentum, least=least)
    model = keras.applications.InceptionV3(
        weights=None, classes=classes, classifier_activation=None, name="inception_v3"
    )
    return _adapted(model, input_shape, stem=_INCEPTION_STEM, width=width, momentum=momentum)


def resnet_50(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    *,
    width: float = 1.0,
    momentum: float = 0.99,
) -> keras.Model:
    """ResNet-50: a convolution and 16 residual blocks of three, of which the second is 3x3.

    25,636,712 parameters at width 1 for 1000 classes, moving statistics included. The stem for
    small images has 64 kernels of 3x3 in place of 7x7, hence 7,680 fewer for colour images.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes, at least 2; the model returns that many logits.
        width: multiplier of the channels, positive.
        momentum: of the moving statistics of batch normalization, see `mobilenet_v1`.

    Returns:
        An uncompiled functional model, (batch, height, width, channels) -> (batch, classes).

    Raises:
        ValueError: if an argument is out of its range.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.

    Example:
        >>> resnet_50((32, 32, 3), 10, width=0.125).count_params()
        385722
    """
    _check(input_shape, classes, width, momentum, least=1)
    model = keras.applications.ResNet50(
        weights=None, classes=classes, classifier_activation=None, name="resnet_50"
    )
    return _adapted(model, input_shape, stem=_RESNET_STEM, width=width, momentum=momentum)


def _check(
    input_shape: tuple[int, int, int], classes: int, width: float, momentum: float, *, least: int
) -> None:
    check_image_model(input_shape, classes, width, least=least)
    if not 0 <= momentum < 1:
        raise ValueError(f"`momentum` must be in [0, 1). Received: momentum={momentum}")


def _adapted(
    model: keras.Model,
    input_shape: tuple[int, int, int],
    *,
    stem: _Stem,
    width: float = 1.0,
    momentum: float,
) -> keras.Model:
    """The model rebuilt for another image size, width and momentum; `stem` for a small image."""
    names = _stable_names(model)
    changes = stem if min(input_shape[:2]) <= _SMALL else {}
    last = model.layers[-1].name

    def adapt(layer: keras.layers.Layer) -> keras.layers.Layer:
        name = names[layer.name]
        change = changes.get(name, {})
        if change is None:
            return layers.Identity(name=name)
        config = {**layer.get_config(), "name": name, **change}
        if type(layer) is layers.Conv2D and layer.name != last:
            config["filters"] = scaled(config["filters"], width)
        elif isinstance(layer, layers.BatchNormalization):
            config["momentum"] = momentum
        return type(layer).from_config(config)

    inputs = keras.Input(input_shape, name="image")
    return keras.models.clone_model(model, input_tensors=inputs, clone_function=adapt)


def _stable_names(model: keras.Model) -> dict[str, str]:
    """Old name -> new name of each layer.

    Names that Keras made up count all layers of the process ("conv2d_94" in a second model), so
    neither a checkpoint of masks nor a rule on paths would find the variables again. They become
    numbers within the model, in the order in which its layers were made.
    """
    names = {layer.name: layer.name for layer in model.layers}
    made_up: dict[str, list[tuple[int, str]]] = {}
    for match in filter(None, map(_MADE_UP.fullmatch, names)):
        if kind := _KINDS.get(match[1]):
            made_up.setdefault(kind, []).append((int(match[2] or 0), match[0]))
    for kind, found in made_up.items():
        for number, (_, name) in enumerate(sorted(found), start=1):
            names[name] = f"{kind}{number}"
    return names
