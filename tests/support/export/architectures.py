"""Twenty small models of as many kinds, each pruned."""

import keras
import numpy as np
from keras import layers


def sequential(shape, *stack, dtype="float32"):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *stack])


def perceptron():
    return sequential((96,), *(layers.Dense(96, activation="relu") for _ in range(2)))


def narrow_and_wide():
    """Two inputs to many units: an output channel has fewer weights than its scale has bytes."""
    return sequential((2,), layers.Dense(384), layers.Dense(3))


def autoencoder():
    return sequential((120,), *(layers.Dense(units) for units in (64, 16, 64, 120)))


def plain_convolutions():
    return sequential(
        (12, 12, 3),
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(10),
    )


def mobile():
    inputs = keras.Input((16, 16, 3))
    x = layers.ZeroPadding2D(1)(inputs)
    x = layers.Conv2D(16, 3, strides=2, activation="relu")(x)
    for filters in (32, 64):
        x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
        x = layers.Conv2D(filters, 1, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(8)(layers.GlobalAveragePooling2D()(x)))


def residual():
    inputs = keras.Input((10, 10, 8))
    x = inputs
    for _ in range(2):
        y = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
        y = layers.ReLU()(layers.BatchNormalization()(y))
        x = layers.Add()([x, layers.Conv2D(8, 3, padding="same")(y)])
    return keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def squeeze_and_excite():
    inputs = keras.Input((8, 8, 32))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(inputs)
    gate = layers.Conv2D(32, 1, activation="sigmoid")(layers.Conv2D(8, 1)(gate))
    return keras.Model(inputs, layers.Conv2D(64, 1)(layers.Multiply()([inputs, gate])))


def branches():
    inputs = keras.Input((8, 8, 16))
    x = layers.Concatenate()([layers.Conv2D(16, k, padding="same")(inputs) for k in (1, 3, 5)])
    return keras.Model(inputs, layers.Conv2D(8, 1)(x))


def u_net():
    inputs = keras.Input((8, 8, 4))
    down = layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    x = layers.Conv2D(32, 3, padding="same")(layers.MaxPooling2D()(down))
    x = layers.Conv2DTranspose(16, 2, strides=2)(x)
    return keras.Model(inputs, layers.Conv2D(2, 1)(layers.Concatenate()([x, down])))


def separable():
    return sequential(
        (10, 10, 8), layers.SeparableConv2D(48, 3), layers.GlobalMaxPooling2D(), layers.Dense(6)
    )


def dilated_sound():
    stack = [layers.Conv1D(24, 3, padding="causal", dilation_rate=2**n) for n in range(3)]
    return sequential((24, 12), *stack, layers.GlobalAveragePooling1D(), layers.Dense(4))


def volumes():
    return sequential((4, 8, 8, 4), layers.Conv3D(24, 3), layers.Flatten(), layers.Dense(4))


def bag_of_words():
    table = layers.Embedding(400, 32)
    return sequential((8,), table, layers.GlobalAveragePooling1D(), layers.Dense(4), dtype="int32")


def text_convolution():
    stack = [layers.Embedding(300, 32), layers.Conv1D(32, 3), layers.GlobalMaxPooling1D()]
    return sequential((8,), *stack, layers.Dense(4), dtype="int32")


def tied_language_model():
    tokens = keras.Input((6,), dtype="int32")
    table = layers.ReversibleEmbedding(300, 32)
    return keras.Model(
        tokens, table(layers.Dense(32, activation="tanh")(table(tokens)), reverse=True)
    )


def lstm():
    return sequential((3, 32), layers.LSTM(48), layers.Dense(4))


def keyword_spotter():
    """A GRU with biases, which unrolled integer arithmetic has once for every step."""
    model = sequential((4, 20), layers.GRU(48), layers.Dense(6))
    rng = np.random.default_rng(2)
    for weight in model.weights:
        if "bias" in weight.path:
            weight.assign(0.1 * rng.standard_normal(weight.shape))
    return model


def both_directions():
    recurrent = layers.Bidirectional(layers.LSTM(24, return_sequences=True))
    return sequential((2, 24), recurrent, layers.Dense(8))


def plain_recurrent():
    return sequential((3, 24), layers.SimpleRNN(64), layers.Dense(4))


def transformer():
    inputs = keras.Input((6, 32))
    x = layers.Add()([inputs, layers.MultiHeadAttention(2, 16)(inputs, inputs)])
    x = layers.LayerNormalization()(x)
    y = layers.Dense(32)(layers.Dense(96, activation="relu")(x))
    return keras.Model(inputs, layers.LayerNormalization()(layers.Add()([x, y])))


ARCHITECTURES = (
    perceptron,
    narrow_and_wide,
    autoencoder,
    plain_convolutions,
    mobile,
    residual,
    squeeze_and_excite,
    branches,
    u_net,
    separable,
    dilated_sound,
    volumes,
    bag_of_words,
    text_convolution,
    tied_language_model,
    lstm,
    keyword_spotter,
    both_directions,
    plain_recurrent,
    transformer,
)


def pruned(builder, sparsity=0.85, block=1):
    """The model with zeros in blocks along the input of every kernel and table."""
    keras.utils.set_random_seed(0)
    model = builder()
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        shape = weight.shape
        if len(shape) > 1:
            outer = (*shape[:-2], -(-shape[-2] // block), shape[-1])
            kept = np.repeat(rng.random(outer) >= sparsity, block, axis=-2)
            weight.assign(2 * weight.numpy() * kept[..., : shape[-2], :])
    return model
