"""Small networks of every family that is pruned and exported, to be run in an emulator."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from models.images.residual import small_resnet
from scripts.bench.export_cases import VOCABULARY, mlp

UNITS, CLASSES, STEPS = 256, 16, 6


@dataclasses.dataclass(frozen=True)
class Network:
    """One network.

    Args:
        label: what tables call it.
        build: () -> model with random weights, free of softmax.
        lower: turn larger convolutions into sparse ones, where the target has those.
        unroll: unroll the time steps of recurrent layers.
    """

    label: str
    build: Callable[[], keras.Model]
    lower: bool = False
    unroll: bool = False

    def describe(self) -> dict[str, Any]:
        """Return the network's options as plain values, for the results file."""
        return {"lower": self.lower, "unroll": self.unroll}


def _application(name: str, **options: Any) -> Callable[[], keras.Model]:
    def build() -> keras.Model:
        return getattr(keras.applications, name)(
            input_shape=(64, 64, 3),
            weights=None,
            classes=CLASSES,
            classifier_activation=None,
            **options,
        )

    return build


def _stacked(shape: tuple[int, ...], *stack: Callable[[], Any]) -> Callable[[], keras.Model]:
    """A builder of layers on one another, with a classifier at the end."""

    def build() -> keras.Model:
        inner = [make() for make in stack]
        return keras.Sequential([keras.Input(shape), *inner, layers.Dense(CLASSES)])

    return build


def _convolutional() -> keras.Model:
    """A VGG-like network of 3x3 convolutions."""
    inputs = keras.Input((32, 32, 3))
    x = inputs
    for channels in (32, 64, 64):
        x = layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dense(128, activation="relu")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(CLASSES)(x))


def _recurrent(kind: type[keras.Layer]) -> Callable[[], keras.Model]:
    return _stacked((STEPS, 128), lambda: kind(UNITS))


def _both_directions() -> keras.Layer:
    return layers.Bidirectional(layers.LSTM(128))


def _language_model() -> keras.Model:
    """A GRU over tokens, with a table of words."""
    tokens = keras.Input((STEPS,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 64, keras.initializers.RandomUniform(-1.0, 1.0))(tokens)
    x = layers.GRU(UNITS, return_sequences=True)(x)
    return keras.Model(tokens, layers.Dense(CLASSES)(x))


def _transformer() -> keras.Model:
    """A block of attention and a feed-forward network, on 16 places of 128 numbers."""
    inputs = keras.Input((16, 128))
    x = layers.Add()([inputs, layers.MultiHeadAttention(4, 32)(inputs, inputs)])
    x = layers.LayerNormalization()(x)
    y = layers.Dense(128)(layers.Dense(512, activation="relu")(x))
    x = layers.LayerNormalization()(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(x)))


def _sound() -> keras.Model:
    """Dilated causal convolutions over time."""
    inputs = keras.Input((64, 32))
    x = inputs
    for dilation in (1, 2, 4):
        x = layers.Conv1D(64, 3, padding="causal", dilation_rate=dilation, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(x)))


def _strided() -> keras.Model:
    """A residual network with a strided stem, as those for large images have."""
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(32, 3, strides=2, activation="relu")(layers.ZeroPadding2D(1)(inputs))
    for _ in range(2):
        y = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
        x = layers.ReLU()(layers.Add()([x, layers.Conv2D(32, 3, padding="same")(y)]))
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(x)))


def _residual() -> keras.Model:
    return small_resnet((32, 32, 3), CLASSES, width=32, blocks=1)


NETWORKS = {
    "mlp": Network("MLP 3 x 512", mlp(512, 2, CLASSES)),
    "mobilenet_v1": Network("MobileNetV1 0.25", _application("MobileNet", alpha=0.25)),
    "mobilenet_v2": Network("MobileNetV2 0.35", _application("MobileNetV2", alpha=0.35)),
    "mobilenet_v3": Network("MobileNetV3-Small", _application("MobileNetV3Small")),
    "resnet": Network("ResNet, small", _residual),
    "resnet_lowered": Network("ResNet with a strided stem, lowered", _strided, lower=True),
    "cnn": Network("CNN of 3x3 convolutions", _convolutional),
    "sound": Network("CNN of dilated 1D convolutions", _sound),
    "lstm": Network("LSTM 256", _recurrent(layers.LSTM)),
    "lstm_unrolled": Network("LSTM 256, unrolled", _recurrent(layers.LSTM), unroll=True),
    "bidirectional": Network("bidirectional LSTM 128", _stacked((STEPS, 128), _both_directions)),
    "gru": Network("GRU 256 on words", _language_model),
    "gru_unrolled": Network("GRU 256 on words, unrolled", _language_model, unroll=True),
    "transformer": Network("transformer block", _transformer),
}
