"""Models of every kind of layer that the exporter is tried on, and a quick way to sparsity."""

import keras
import numpy as np
from keras import layers


def zero_out(model, sparsity, block=1):
    """Zeroes random blocks along the input axis of every kernel and table, in place."""
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        shape = weight.shape
        if len(shape) < 2:
            continue
        outer = shape[:-2] + (-(-shape[-2] // block), shape[-1])
        kept = np.repeat(rng.random(outer) >= sparsity, block, axis=-2)[..., : shape[-2], :]
        weight.assign(weight.numpy() * kept * 3)
    return model


def mlp(units=256):
    return keras.Sequential(
        [
            keras.Input((units,)),
            layers.Dense(units, activation="relu"),
            layers.Dense(units, activation="relu", use_bias=False),
            layers.Dense(16),
        ]
    )


def cnn():
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(16, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.DepthwiseConv2D(5, strides=2, padding="same", depth_multiplier=2),
            layers.Conv2D(64, 1),
            layers.Conv2DTranspose(8, 3, strides=2, padding="same"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    rng = np.random.default_rng(1)
    normalization = model.layers[1]
    normalization.set_weights([rng.uniform(0.5, 1.5, 16) for _ in normalization.weights])
    return model


def lstm():
    return keras.Sequential([keras.Input((6, 32)), layers.LSTM(64), layers.Dense(4)])


def language_model():
    return keras.Sequential(
        [
            keras.Input((8,), dtype="int32"),
            layers.Embedding(90, 24, mask_zero=True),
            layers.LSTM(48, return_sequences=True),
            layers.Dense(90),
        ]
    )


def two_in_two_out():
    image = keras.Input((40,), name="image")
    words = keras.Input((5,), dtype="int32", name="words")
    both = layers.Concatenate()(
        [
            layers.Dense(64, activation="relu")(image),
            layers.Flatten()(layers.Embedding(30, 16)(words)),
        ]
    )
    outputs = {"label": layers.Dense(12)(both), "score": layers.Dense(8)(both)}
    return keras.Model({"image": image, "words": words}, outputs)


def recurrent_zoo():
    return keras.Sequential(
        [
            keras.Input((5, 12)),
            layers.Bidirectional(layers.GRU(24, return_sequences=True)),
            layers.SimpleRNN(24, return_sequences=True),
            layers.TimeDistributed(layers.Dense(16)),
        ]
    )


def conv_lstm():
    return keras.Sequential([keras.Input((3, 6, 6, 4)), layers.ConvLSTM2D(12, 3)])


def mixed_precision():
    dense = layers.Dense(64, dtype="mixed_float16")
    return keras.Sequential([keras.Input((48,)), dense, layers.Dense(4)])


MODELS = {
    builder.__name__: builder
    for builder in (
        mlp,
        cnn,
        lstm,
        language_model,
        two_in_two_out,
        recurrent_zoo,
        conv_lstm,
        mixed_precision,
    )
}
