"""What the tests of structures for targets share: a model with every kind of convolution."""

import keras
from keras import layers


def short(path):
    """The path without the names of models: "stem/kernel"."""
    return "/".join(path.split("/")[-2:])


def image_model():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(2.0),
            layers.ZeroPadding2D(),
            layers.Conv2D(8, 3, strides=2, name="stem"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3, padding="same", name="depthwise"),
            layers.Conv2D(16, 1, name="pointwise"),
            layers.ReLU(),
            layers.Conv2D(16, 3, padding="same", name="spatial"),
            layers.SeparableConv2D(16, 3, padding="same", name="separable"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, name="classes"),
        ]
    )
