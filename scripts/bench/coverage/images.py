"""Classifiers of images and of spectrograms."""

import keras
from keras import KerasTensor, layers

from scripts.bench.coverage import blocks
from scripts.bench.coverage.blocks import conv, pooled, separable


def image(size: int = 32, channels: int = 3) -> KerasTensor:
    return keras.Input((size, size, channels))


def model(x: KerasTensor, outputs: object) -> keras.Model:
    return keras.Model(x, outputs)


def resnet(block: object, widths: tuple[int, ...], depth: int, **options: object) -> keras.Model:
    """A residual network for 32x32 images, with a first convolution of stride 1."""
    source = image()
    x = conv(source, widths[0])
    for stage, width in enumerate(widths):
        for number in range(depth):
            x = block(x, width, 2 if stage and not number else 1, **options)  # type: ignore
    return model(source, pooled(x))


def mobilenet_v1(size: int, width: int, strides: int, head: object = pooled) -> keras.Model:
    source = image(size)
    x = conv(source, width, 3, strides, activation="relu6")
    for factor, stride in ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), (16, 1)):
        x = separable(x, factor * width, stride)
    return model(source, head(x))  # type: ignore[operator]


def mobilenet_v2(size: int, strides: int, last: int = 2) -> keras.Model:
    source = image(size)
    x = blocks.inverted(conv(source, 16, 3, strides, activation="relu6"), 8, expand=1)
    for filters, depth, stride in ((16, 2, 2), (24, 2, 2), (48, 3, 2), (64, 2, 1), (96, 2, last)):
        for number in range(depth):
            x = blocks.inverted(x, filters, stride if not number else 1)
    return model(source, pooled(conv(x, 320, 1, activation="relu6")))


def mobilenet_v3(size: int, activation: str = "hard_swish") -> keras.Model:
    source = image(size)
    x = conv(source, 16, 3, 2, activation=activation)
    for filters, kernel, stride, squeeze in (
        (16, 3, 2, True),
        (24, 3, 2, False),
        (24, 3, 1, False),
        (40, 5, 2, True),
        (40, 5, 1, True),
        (64, 5, 1, True),
    ):
        x = blocks.inverted(x, filters, stride, 4, kernel, squeeze, activation)
    return model(source, pooled(conv(x, 256, 1, activation=activation)))


def vgg(flat: bool) -> keras.Model:
    source = x = image()
    for width in (32, 64, 128):
        x = conv(conv(x, width), width)
        x = layers.MaxPooling2D(2)(x)
    if not flat:
        return model(source, pooled(x))
    x = layers.Dense(256, "relu")(layers.Flatten()(x))
    return model(source, layers.Dense(10)(x))


def squeezenet() -> keras.Model:
    source = image(64)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(conv(source, 32, 3, 2))
    x = blocks.fire(blocks.fire(x, 16, 32), 16, 32)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    x = conv(blocks.fire(blocks.fire(x, 32, 64), 32, 64), 10, 1)
    return model(source, layers.GlobalAveragePooling2D()(x))


def shufflenet() -> keras.Model:
    source = image(64)
    x = conv(conv(source, 24, 3, 2), 96, 1)
    x = blocks.shuffled(blocks.shuffled(x, 96), 96)
    x = conv(blocks.depthwise(x, 3, 2), 192, 1)
    return model(source, pooled(blocks.shuffled(blocks.shuffled(x, 192), 192)))


def lenet5() -> keras.Model:
    source = x = image(28, 1)
    for filters in (16, 32):
        x = layers.Conv2D(filters, 5, padding="same", activation="tanh")(x)
        x = layers.AveragePooling2D(2)(x)
    x = layers.Dense(120, "tanh")(layers.Flatten()(x))
    return model(source, layers.Dense(10)(layers.Dense(84, "tanh")(x)))


def digits_cnn() -> keras.Model:
    source = x = image(28, 1)
    for filters in (32, 64):
        x = layers.MaxPooling2D(2)(layers.Conv2D(filters, 3, activation="relu")(x))
    return model(source, layers.Dense(10)(layers.Dropout(0.5)(layers.Flatten()(x))))


def all_convolutional() -> keras.Model:
    source = image()
    x = conv(conv(source, 32), 32, 3, 2)
    x = conv(conv(x, 64), 64, 3, 2)
    return model(source, layers.GlobalAveragePooling2D()(conv(conv(x, 64), 10, 1)))


def network_in_network() -> keras.Model:
    source = image()
    x = conv(conv(source, 64, 5), 64, 1)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(conv(x, 48, 1))
    x = conv(conv(conv(x, 96, 5), 96, 1), 96, 1)
    x = layers.AveragePooling2D(3, strides=2, padding="same")(x)
    x = conv(conv(x, 96), 10, 1)
    return model(source, layers.GlobalAveragePooling2D()(x))


def densenet() -> keras.Model:
    source = image()
    x = blocks.dense_block(conv(source, 24), 12, 3)
    x = layers.AveragePooling2D(2)(conv(x, 32, 1))
    x = blocks.dense_block(x, 12, 3)
    x = layers.AveragePooling2D(2)(conv(x, 32, 1))
    return model(source, pooled(blocks.dense_block(x, 12, 3)))


def inception() -> keras.Model:
    source = image(64)
    x = layers.MaxPooling2D(2)(conv(source, 32, 3, 2))
    x = layers.MaxPooling2D(2)(blocks.inception(x, 24))
    return model(source, pooled(blocks.inception(x, 32)))


def xception() -> keras.Model:
    source = image(64)
    x = conv(conv(source, 16, 3, 2), 32)
    for filters in (64, 128):
        y = layers.SeparableConv2D(filters, 3, padding="same", activation="relu")(x)
        y = layers.SeparableConv2D(filters, 3, padding="same")(y)
        y = layers.MaxPooling2D(3, strides=2, padding="same")(y)
        x = layers.Add()([conv(x, filters, 1, 2, activation=None), y])
    return model(source, pooled(layers.ReLU()(x)))


def convmixer() -> keras.Model:
    source = image()
    x = layers.BatchNormalization()(layers.Conv2D(96, 2, strides=2, activation="gelu")(source))
    for _ in range(4):
        y = layers.DepthwiseConv2D(5, padding="same", activation="gelu")(x)
        x = layers.Add()([x, layers.BatchNormalization()(y)])
        x = layers.BatchNormalization()(layers.Conv2D(96, 1, activation="gelu")(x))
    return model(source, pooled(x))


def keyword_spotter() -> keras.Model:
    """DS-CNN on 49 frames of 10 coefficients."""
    source = keras.Input((49, 10, 1))
    x = layers.Conv2D(64, (10, 4), strides=2, padding="same", use_bias=False)(source)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for _ in range(4):
        x = separable(x, 64)
    return model(source, pooled(x, 12))


def largest_head(x: KerasTensor) -> KerasTensor:
    return layers.Dense(10)(layers.GlobalMaxPooling2D()(x))


def flat_head(x: KerasTensor) -> KerasTensor:
    return layers.Dense(10)(layers.Flatten()(x))


IMAGES = {
    "resnet20": ("ResNet-20, 32", lambda: resnet(blocks.residual, (16, 32, 64), 3)),
    "resnet_bottleneck": ("bottleneck ResNet, 32", lambda: resnet(blocks.bottleneck, (16, 32), 2)),
    "resnet_v2": ("ResNet v2, 32", lambda: resnet(blocks.preactivated, (16, 32, 64), 2)),
    "wide_resnet": ("Wide ResNet, 32", lambda: resnet(blocks.residual, (48, 96), 1)),
    "se_resnet": ("SE-ResNet, 32", lambda: resnet(blocks.residual, (32, 64), 2, squeeze=True)),
    "grouped_resnet": (
        "ResNet, groups, 32",
        lambda: resnet(blocks.residual, (32, 64), 2, groups=4),
    ),
    "resnext": ("ResNeXt, 32", lambda: resnet(blocks.bottleneck, (32, 64), 1, groups=8)),
    "mobilenet_v1_32": ("MobileNetV1, 32", lambda: mobilenet_v1(32, 16, 1)),
    "mobilenet_v1_96": ("MobileNetV1, 96", lambda: mobilenet_v1(96, 16, 2)),
    "mobilenet_v1_max": ("MobileNetV1, max head", lambda: mobilenet_v1(64, 16, 2, largest_head)),
    "mobilenet_v1_flat": ("MobileNetV1, flat head", lambda: mobilenet_v1(64, 16, 2, flat_head)),
    "mobilenet_v2_32": ("MobileNetV2, 32", lambda: mobilenet_v2(32, 2)),
    "mobilenet_v2_cifar": ("MobileNetV2, stride 1, 32", lambda: mobilenet_v2(32, 1, 1)),
    "mobilenet_v2_96": ("MobileNetV2, 96", lambda: mobilenet_v2(96, 2)),
    "mobilenet_v3_32": ("MobileNetV3, 32", lambda: mobilenet_v3(32)),
    "mobilenet_v3_96": ("MobileNetV3, 96", lambda: mobilenet_v3(96)),
    "efficientnet_64": ("EfficientNet, 64", lambda: mobilenet_v3(64, "swish")),
    "vgg_flat": ("VGG, flat head, 32", lambda: vgg(True)),
    "vgg_pooled": ("VGG, 32", lambda: vgg(False)),
    "squeezenet": ("SqueezeNet, 64", squeezenet),
    "shufflenet": ("ShuffleNet, 64", shufflenet),
    "lenet5": ("LeNet-5", lenet5),
    "digits_cnn": ("CNN of digits", digits_cnn),
    "all_convolutional": ("All-CNN, 32", all_convolutional),
    "network_in_network": ("NIN, 32", network_in_network),
    "densenet": ("DenseNet, 32", densenet),
    "inception": ("Inception, 64", inception),
    "xception": ("Xception, 64", xception),
    "convmixer": ("ConvMixer, 32", convmixer),
    "keyword_spotter": ("DS-CNN, 49x10", keyword_spotter),
}
