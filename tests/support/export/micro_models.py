"""Small versions of networks that run on microcontrollers, pruned and clustered."""

import keras
import numpy as np
from keras import layers


def _separable(x, filters, strides=1):
    x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2D(filters, 1, use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def keyword_spotter():
    """DS-CNN over 10 coefficients of 49 frames."""
    inputs = keras.Input((49, 10, 1))
    x = layers.Conv2D(64, (10, 4), strides=2, padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for _ in range(4):
        x = _separable(x, 64)
    x = layers.Dropout(0.4)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(12, activation="softmax")(x), name="keyword_spotter")


def mobilenet():
    """MobileNetV1 x 0.25 with few blocks."""
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    for filters, strides in ((16, 1), (32, 2), (32, 1), (64, 2), (128, 2), (256, 1)):
        x = _separable(x, filters, strides)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x), name="mobilenet")


def autoencoder():
    """Dense autoencoder for sounds of machines."""
    sizes = (128, 128, 8, 128, 128)
    hidden = [layers.Dense(size, activation="relu") for size in sizes]
    return keras.Sequential([keras.Input((320,)), *hidden, layers.Dense(320)], name="autoencoder")


def lenet():
    """LeNet-5."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="tanh"),
            layers.Dense(84, activation="tanh"),
            layers.Dense(10, activation="softmax"),
        ],
        name="lenet",
    )


def lstm():
    """An LSTM over 8 steps."""
    return keras.Sequential(
        [keras.Input((8, 16)), layers.LSTM(64), layers.Dense(6, activation="softmax")], name="lstm"
    )


NETWORKS = {
    build.__name__: build for build in (keyword_spotter, mobilenet, autoencoder, lenet, lstm)
}


def compressed(model, *, sparsity=0.9, levels=15):
    """Keep some weights of each kernel but depthwise ones, at evenly spaced levels, in place."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        for weight in layer.trainable_weights:
            if isinstance(layer, layers.DepthwiseConv2D):
                weight.assign(weight * 4)  # else little is left of the inputs at the end
            elif len(weight.shape) > 1 and weight.shape[-1] > 2:
                values = weight.numpy()
                step = 2 * np.abs(values).max() / (levels - 1)
                kept = rng.random(values.shape) >= sparsity
                weight.assign(np.round(values / step) * step * kept * 3)
    return model
