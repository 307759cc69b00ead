"""Small models of every kind whose channels can be removed: name -> (model, a batch for it)."""

import keras
import numpy as np
from keras import layers

from tests.support.channel_layers import LAYERS


def _draws(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _tokens(*shape, low=0):
    return np.random.default_rng(0).integers(low, 20, shape)


def lstm_language_model():
    inputs = keras.Input((6,), dtype="int32")
    x = layers.LSTM(10, return_sequences=True)(layers.Embedding(20, 8)(inputs))
    return keras.Model(inputs, layers.Dense(20)(layers.LSTM(6)(x))), _tokens(3, 6)


def bidirectional():
    inputs = keras.Input((6, 4))
    x = layers.Bidirectional(layers.GRU(5, return_sequences=True))(inputs)
    x = layers.Bidirectional(layers.LSTM(6), merge_mode="sum")(x)
    return keras.Model(inputs, layers.Dense(3)(x)), _draws(3, 6, 4)


def bidirectional_states():
    inputs = keras.Input((6, 4))
    found = layers.Bidirectional(layers.GRU(4, return_state=True))(inputs)
    x = layers.Concatenate()(found)
    return keras.Model(inputs, layers.Dense(3)(x)), _draws(3, 6, 4)


def translation_with_attention():
    source, target = keras.Input((6,), dtype="int32"), keras.Input((5,), dtype="int32")
    embedded = layers.Embedding(20, 8, mask_zero=True)(source)
    encoded, *states = layers.LSTM(10, return_sequences=True, return_state=True)(embedded)
    x = layers.Embedding(20, 8, mask_zero=True)(target)
    x = layers.LSTM(10, return_sequences=True)(x, initial_state=states)
    x = layers.Concatenate()([x, layers.Attention()([x, encoded])])
    x = layers.Dense(12, activation="tanh")(x)
    batch = [_tokens(3, 6, low=1), _tokens(3, 5, low=1)]
    return keras.Model([source, target], layers.Dense(20)(x)), batch


def transformer():
    inputs = keras.Input((6, 16))
    x = layers.Dense(16)(inputs)
    x = x + layers.MultiHeadAttention(4, 5)(x, x)
    x = layers.Dense(16)(layers.Dense(32, activation="gelu")(x))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(2)(x)), _draws(3, 6, 16)


def grouped_queries():
    inputs = keras.Input((6, 16))
    x = layers.Dense(16)(inputs)
    x = layers.Add()([x, layers.GroupQueryAttention(5, 4, 2)(x, x)])
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x))), _draws(3, 6, 16)


def gates_and_groups():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same")(inputs)
    x = layers.PReLU(shared_axes=[1, 2])(layers.BatchNormalization()(x))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(4, 1, activation="relu")(gate)
    x = x * layers.Conv2D(8, 1, activation="sigmoid")(gate)
    y = layers.SeparableConv2D(8, 3, padding="same", depth_multiplier=2)(x)
    x = layers.Maximum()([x, y])
    x = layers.Conv2D(12, 3, groups=4)(layers.DepthwiseConv2D(3, depth_multiplier=2)(x))
    x = layers.Conv2DTranspose(6, 2, strides=2)(layers.GroupNormalization(3)(x))
    x = layers.Cropping2D()(layers.ZeroPadding2D()(layers.UpSampling2D()(x)))
    x = layers.Permute((2, 3, 1))(layers.Permute((3, 1, 2))(x))
    x = layers.Dense(10, activation="relu")(layers.Flatten()(x))
    x = layers.Flatten()(layers.Reshape((5, 2))(x))
    return keras.Model(inputs, [layers.Dense(3)(x), layers.Dense(2)(x)]), _draws(2, 8, 8, 3)


def nested_and_shared():
    inner = keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(6)]
    )
    inputs = keras.Input((4,))
    first = inner(layers.Dense(6)(inputs))
    second = inner(layers.Dense(6, activation="relu")(inputs))
    outputs = layers.Dense(2)(keras.ops.concatenate([first, second], -1))
    return keras.Model(inputs, outputs), _draws(3, 4)


def frames():
    inputs = keras.Input((5, 8, 8, 3))
    x = layers.TimeDistributed(layers.Conv2D(6, 3))(inputs)
    x = layers.TimeDistributed(layers.BatchNormalization())(x)
    x = layers.LSTM(7)(layers.TimeDistributed(layers.Flatten())(x))
    return keras.Model(inputs, layers.Dense(2)(x)), _draws(2, 5, 8, 8, 3)


def convolutional_lstm():
    inputs = keras.Input((4, 8, 8, 3))
    x = layers.ConvLSTM2D(6, 3, return_sequences=True, padding="same")(inputs)
    x = layers.Conv2D(5, 1)(layers.ConvLSTM2D(4, 3)(x))
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(inputs, layers.Dense(2)(x)), _draws(2, 4, 8, 8, 3)


def tied_embedding():
    inputs = keras.Input((5,), dtype="int32")
    embedding = layers.ReversibleEmbedding(20, 8)
    x = layers.Dense(8)(layers.LSTM(9, return_sequences=True)(embedding(inputs)))
    return keras.Model(inputs, embedding(x, reverse=True)), _tokens(3, 5)


def sequences():
    inputs = keras.Input((12, 3))
    x = layers.MaxPooling1D(2)(layers.Conv1D(8, 3, activation="relu")(inputs))
    x = layers.GRU(5, return_sequences=True, reset_after=False)(layers.SeparableConv1D(6, 3)(x))
    x = layers.RepeatVector(3)(layers.SimpleRNN(4)(x))
    x = layers.UnitNormalization()(layers.AdditiveAttention()([x, x])[:, 0])
    return keras.Model(inputs, layers.Dense(2)(x)), _draws(2, 12, 3)


def volumes():
    inputs = keras.Input((4, 6, 6, 1))
    x = layers.Conv3D(4, 2)(inputs)
    x = layers.Conv3DTranspose(3, 2)(keras.ops.relu(x))
    x = keras.ops.mean(keras.ops.transpose(x, (0, 4, 1, 2, 3)), axis=(2, 3, 4))
    return keras.Model(inputs, layers.Dense(2)(x)), _draws(2, 4, 6, 6, 1)


def equations():
    inputs = keras.Input((6, 8))
    x = layers.EinsumDense("abc,cde->abde", (None, 3, 4), bias_axes="de")(inputs)
    x = layers.EinsumDense("abde,def->abf", (None, 7), bias_axes="f")(x)
    return keras.Model(inputs, layers.Dense(2)(x)), _draws(2, 6, 8)


MODELS = {
    build.__name__: build
    for build in (
        lstm_language_model,
        bidirectional,
        bidirectional_states,
        translation_with_attention,
        transformer,
        grouped_queries,
        gates_and_groups,
        nested_and_shared,
        frames,
        convolutional_lstm,
        tied_embedding,
        sequences,
        volumes,
        equations,
    )
} | LAYERS


def unsettle(model, seed=0):
    """Give the vectors of a model values that tell channels apart, as training does."""
    draws = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.name in ("moving_variance", "gamma", "alpha"):
            weight.assign(draws.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("beta", "bias", "moving_mean"):
            weight.assign(draws.normal(0.0, 0.3, weight.shape))
    return model
