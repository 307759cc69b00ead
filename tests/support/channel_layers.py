"""More models whose channels can be removed, layer class by layer class."""

import keras
import numpy as np
from keras import layers, ops

from models.language.lstm import lstm_language_model
from models.translation.encoder_decoder import seq2seq


def _draws(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _tokens(*shape):
    return np.random.default_rng(0).integers(1, 20, shape)


def _classes(x):
    return layers.Dense(2)(x)


def one_dimension():
    inputs = keras.Input((9, 4))
    x = layers.Conv1D(8, 3, activation="relu")(inputs)
    x = layers.Conv1D(8, 3, groups=2, padding="causal", dilation_rate=2)(x)
    x = layers.UpSampling1D(2)(layers.AveragePooling1D(2)(x))
    x = layers.Cropping1D(1)(layers.ZeroPadding1D(1)(x))
    x = layers.DepthwiseConv1D(3, depth_multiplier=2)(layers.Conv1DTranspose(6, 3)(x))
    x = layers.SeparableConv1D(5, 3)(layers.SpatialDropout1D(0.2)(x))
    return keras.Model(inputs, _classes(layers.GlobalMaxPooling1D()(x))), _draws(2, 9, 4)


def three_dimensions():
    inputs = keras.Input((6, 6, 6, 2))
    x = layers.BatchNormalization()(layers.Conv3D(6, 2, groups=2)(inputs))
    x = layers.Cropping3D(1)(layers.ZeroPadding3D(1)(layers.UpSampling3D(2)(x)))
    x = layers.PReLU(shared_axes=[1, 2, 3])(layers.Conv3D(8, 2)(layers.MaxPooling3D(2)(x)))
    x = layers.AveragePooling3D(2)(layers.Conv3DTranspose(4, 2, strides=2)(x))
    x = layers.GlobalAveragePooling3D()(x)
    return keras.Model(inputs, _classes(x)), _draws(2, 6, 6, 6, 2)


def slopes_everywhere():
    inputs = keras.Input((6, 6, 3))
    x = layers.PReLU()(layers.Conv2D(6, 3)(inputs))
    x = layers.Flatten()(layers.Conv2D(4, 3)(x))
    return keras.Model(inputs, _classes(x)), _draws(2, 6, 6, 3)


def merged():
    inputs = keras.Input((5,))
    a, b = layers.Dense(8, "relu")(inputs), layers.Dense(8, "tanh")(inputs)
    x = layers.Subtract()([a, b])
    x = layers.Minimum()([layers.Average()([x, a, b]), a])
    x = layers.Maximum()([layers.Multiply()([x, b]), x])
    return keras.Model(inputs, _classes(x)), _draws(3, 5)


def squeezed_and_excited():
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 3)(inputs)
    gate = layers.Dense(4, "relu")(layers.GlobalAveragePooling2D()(x))
    gate = layers.Reshape((1, 1, 8))(layers.Dense(8, "sigmoid")(gate))
    x = layers.GlobalMaxPooling2D()(layers.Multiply()([x, gate]))
    return keras.Model(inputs, _classes(x)), _draws(2, 6, 6, 3)


def operations():
    inputs = keras.Input((6, 6, 3))
    x = ops.pad(layers.Conv2D(6, 3)(inputs), [[0, 0], [1, 1], [1, 1], [0, 0]])
    x = ops.moveaxis(ops.moveaxis(ops.flip(x, axis=1), -1, 1), 1, -1)
    x = ops.max(ops.stack(ops.split(x, 2, axis=1), axis=1), axis=1)
    x = ops.leaky_relu(layers.Conv2D(5, 1)(ops.clip(x, -1, 1))) * 2.0 + 1.0
    x = ops.concatenate([x, ops.tanh(x)], -1)
    x = ops.squeeze(ops.expand_dims(ops.mean(x, axis=(1, 2)), 1), 1)
    return keras.Model(inputs, _classes(x)), _draws(2, 6, 6, 3)


def padded_channels():
    """A shortcut without weights: every second pixel, with zeros beside the channels."""
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(6, 3, padding="same")(inputs)
    short = ops.pad(x[:, ::2, ::2, :], [[0, 0], [0, 0], [0, 0], [1, 3]])
    x = short + layers.Conv2D(10, 3, strides=2, padding="same")(x)
    return keras.Model(inputs, _classes(layers.Conv2D(5, 1)(x))), _draws(2, 6, 6, 3)


def normalized():
    inputs = keras.Input((6, 6, 3))
    x = layers.GroupNormalization(4)(layers.Conv2D(8, 3)(inputs))
    x = layers.GroupNormalization(-1)(layers.Conv2D(6, 1)(layers.BatchNormalization()(x)))
    x = layers.BatchNormalization(scale=False)(layers.Conv2D(8, 1)(x))
    x = layers.BatchNormalization(center=False)(layers.Conv2D(8, 1)(x))
    x = layers.UnitNormalization(axis=(1, 2))(x)
    x = layers.Dense(4)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, _classes(x)), _draws(2, 6, 6, 3)


def states():
    inputs = keras.Input((6, 4))
    flat = layers.Flatten()(inputs)
    begin = [layers.Dense(7)(flat), layers.Dense(7)(flat)]
    x = layers.LSTM(7, return_sequences=True)(inputs, initial_state=begin)
    x, h, c = layers.LSTM(5, return_sequences=True, return_state=True)(x)
    s, last = layers.SimpleRNN(6, return_sequences=True, return_state=True)(x)
    g, end = layers.GRU(6, return_state=True)(s, initial_state=last)
    outputs = [_classes(layers.Concatenate()([g, h, c])), layers.Dense(3)(end)]
    return keras.Model(inputs, outputs), _draws(2, 6, 4)


def both_directions():
    inputs = keras.Input((6, 4))
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=True), merge_mode="ave")(inputs)
    x = layers.Bidirectional(layers.GRU(5, return_sequences=True), merge_mode="mul")(x)
    pair = layers.Bidirectional(layers.SimpleRNN(4), merge_mode=None)(x)
    encoder = layers.Bidirectional(layers.LSTM(5, return_sequences=True, return_state=True))
    y, fh, fc, bh, bc = encoder(inputs)
    begin = [layers.Concatenate()([fh, bh]), layers.Concatenate()([fc, bc])]
    y = layers.LSTM(10)(y, initial_state=begin)
    return keras.Model(inputs, _classes(layers.Concatenate()([*pair, y]))), _draws(2, 6, 4)


def stateful():
    inputs = keras.Input(batch_shape=(2, 6, 4))
    x = layers.LSTM(6, stateful=True, return_sequences=True)(layers.Masking()(inputs))
    return keras.Model(inputs, _classes(layers.GRU(5)(x))), _draws(2, 6, 4)


def heads():
    queries, values = keras.Input((5, 8)), keras.Input((7, 6))
    x, y = layers.Dense(12)(queries), layers.Dense(12)(values)
    attend = layers.MultiHeadAttention(4, 3, value_dim=5, use_bias=False, output_shape=9)
    x = layers.Concatenate()([attend(x, y), layers.GroupQueryAttention(4, 8, 4)(x, y)])
    x = layers.GlobalAveragePooling1D()(layers.Dense(8)(x))
    return keras.Model([queries, values], _classes(x)), [_draws(2, 5, 8), _draws(2, 7, 6)]


def attention():
    inputs = keras.Input((6, 8))
    query, value, key = (layers.Dense(7)(inputs) for _ in range(3))
    x = layers.Attention(use_scale=True)([query, value, key])
    y = layers.Attention(score_mode="concat", use_scale=True)([query, value])
    x = layers.Concatenate()([x, y, layers.AdditiveAttention()([query, value, key])])
    return keras.Model(inputs, _classes(layers.GlobalAveragePooling1D()(x))), _draws(2, 6, 8)


def several_inputs_and_outputs():
    inputs = {name: keras.Input((6,), name=name) for name in "ab"}
    first, second = layers.Dense(8, "relu"), layers.Dense(5)  # shared
    x, y = (second(first(tensor)) for tensor in inputs.values())
    outputs = {"o": _classes(layers.Subtract()([x, y])), "p": layers.Dense(3)(x)}
    return keras.Model(inputs, outputs), {"a": _draws(2, 6), "b": _draws(2, 6)}


def nested_twice():
    inner = keras.Sequential([keras.Input((8,)), layers.Dense(6, "relu"), layers.Dense(8)])
    begin = keras.Input((8,))
    middle = keras.Model(begin, layers.Add()([begin, inner(begin)]))
    inputs = keras.Input((5,))
    x = middle(middle(layers.Dense(8)(inputs)))
    return keras.Model(inputs, _classes(x)), _draws(2, 5)


def masked_steps():
    inputs = keras.Input((5,), dtype="int32")
    x = layers.Embedding(20, 8, mask_zero=True)(inputs)
    x = layers.LSTM(6)(layers.TimeDistributed(layers.Dense(7, "relu"))(x))
    return keras.Model(inputs, _classes(x)), _tokens(3, 5)


def language_model():
    model = lstm_language_model(12, vocabulary=20, steps=6, batch_size=3)
    return model, _tokens(3, 6)


def tied_language_model():
    model = lstm_language_model(12, vocabulary=20, steps=6, batch_size=3, tied=True)
    return model, _tokens(3, 6)


def translation():
    model = seq2seq(8, source_vocabulary=20, target_vocabulary=22)
    return model, [_tokens(3, 6), _tokens(3, 5)]


def translation_by_dot_products():
    model = seq2seq(8, source_vocabulary=20, target_vocabulary=22, attention="luong")
    return model, [_tokens(3, 6), _tokens(3, 5)]


LAYERS = {
    build.__name__: build
    for build in (
        one_dimension,
        three_dimensions,
        slopes_everywhere,
        merged,
        squeezed_and_excited,
        operations,
        padded_channels,
        normalized,
        states,
        both_directions,
        stateful,
        heads,
        attention,
        several_inputs_and_outputs,
        nested_twice,
        masked_steps,
        language_model,
        tied_language_model,
        translation,
        translation_by_dot_products,
    )
}
