"""Models that benchmarks time, for Keras 3 and for legacy Keras alike."""

from typing import Any

import numpy as np

VOCABULARY = 10_000


def mobilenet(keras: Any) -> Any:
    """MobileNetV1 at width 0.25 on 96x96 images, 10 classes: 230,000 weights."""
    return keras.applications.MobileNet(
        input_shape=(96, 96, 3), alpha=0.25, weights=None, classes=10
    )


def lstm_language_model(keras: Any) -> Any:
    """Two LSTM layers of 650 units over 20 tokens, vocabulary 10,000: 19.8 million weights."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((20,), dtype="int32"),
            layers.Embedding(VOCABULARY, 650),
            layers.LSTM(650, return_sequences=True),
            layers.LSTM(650, return_sequences=True),
            layers.Dense(VOCABULARY, activation="softmax"),
        ]
    )


def images() -> tuple[np.ndarray, np.ndarray]:
    """Return a batch of 32 random images and labels."""
    random = np.random.default_rng(0)
    return random.normal(size=(32, 96, 96, 3)).astype("float32"), random.integers(0, 10, 32)


def tokens() -> tuple[np.ndarray, np.ndarray]:
    """Return a batch of 20 random sequences of 20 tokens, and the tokens that follow."""
    random = np.random.default_rng(0)
    return (
        random.integers(0, VOCABULARY, (20, 20)).astype("int32"),
        random.integers(0, VOCABULARY, (20, 20)).astype("int32"),
    )


# name -> builder, data, how many times the rounds asked for: short steps need more to be told apart
MODELS = {
    "mobilenet_0.25_96": (mobilenet, images, 6),
    "lstm_2x650": (lstm_language_model, tokens, 1),
}
