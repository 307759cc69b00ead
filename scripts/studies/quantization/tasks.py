"""What is quantized: the network, its examples, and what a file of it is worth."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from models import Dataset, training_batches
from models.data import text
from models.data.word_streams import stream_arrays
from models.images.resnet import load_resnet20, normalize
from models.language.lstm import lstm_language_model, stateless
from scripts.lab.checkpoints import load_weights


class Task(Protocol):
    """A trained network with the data it was trained on.

    Attributes:
        batch_size: examples in a step of training.
        optimizer: SGD's options.
        measure: what `score` gives.
    """

    batch_size: int
    optimizer: dict[str, Any]
    measure: str

    def network(self) -> keras.Model:
        """Return the dense network, with its trained weights."""

    def loss(self) -> keras.losses.Loss:
        """Return what it is trained with."""

    def batches(self, seed: int, first: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield batches of training, the same for the same seed, from one of them on."""

    def examples(self, seed: int) -> np.ndarray:
        """Return inputs to calibrate on."""

    def score(self, model: keras.Model) -> float:
        """Return how good a Keras model is."""

    def score_of_file(self, path: Path) -> float:
        """Return how good a file is, run by LiteRT with its default kernels on one thread."""


@dataclasses.dataclass(frozen=True)
class Images:
    """ResNet-20 on CIFAR-10, with given weights; its accuracy on the test images.

    Args:
        images: CIFAR-10.
        weights: file of the dense network.
    """

    images: Dataset
    weights: Path
    batch_size: int = 128
    measure: str = "accuracy"
    optimizer: dict[str, Any] = dataclasses.field(
        default_factory=lambda: {"learning_rate": 0.01, "weight_decay": 1e-3}
    )

    def network(self) -> keras.Model:
        return load_resnet20(self.weights)

    def loss(self) -> keras.losses.Loss:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def batches(self, seed: int, first: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        x, y, size = self.images.x_train, self.images.y_train, self.batch_size
        epoch, step = divmod(first, len(x) // size)
        begin = {"epochs": 10_000, "first_epoch": epoch, "first_step": step}
        moved = training_batches(x, y, size, crop=4, flip=True, seed=seed, **begin)
        return ((normalize(each), labels) for each, labels in moved)

    def examples(self, seed: int) -> np.ndarray:
        chosen = np.random.default_rng(seed).choice(len(self.images.x_train), 256, replace=False)
        return normalize(self.images.x_train[chosen])

    def score(self, model: keras.Model) -> float:
        scores = model.predict(normalize(self.images.x_test), batch_size=500, verbose=0)
        return float(np.mean(scores.argmax(-1) == self.images.y_test))

    def score_of_file(self, path: Path) -> float:
        scores = run(path, normalize(self.images.x_test))
        return float(np.mean(scores.argmax(-1) == self.images.y_test))


@dataclasses.dataclass(frozen=True)
class Words:
    """The small LSTM language model on PTB, sequences of 20 words from a state of zero.

    The perplexity is that of `windows` sequences of the test text, spread evenly. No sequence sees
    words before it, so that it is higher than in the comparison, where the state goes on.

    Args:
        weights: file of a checkpoint of the comparison, method "dense".
        data_dir: folder of the text; None searches.
        windows: sequences that are scored.
    """

    weights: Path
    data_dir: Path | None = None
    windows: int = 300
    batch_size: int = 20
    measure: str = "perplexity"
    optimizer: dict[str, Any] = dataclasses.field(default_factory=lambda: {"learning_rate": 0.3})

    def network(self) -> keras.Model:
        model = lstm_language_model(200, vocabulary=10_000, steps=20, batch_size=20)
        load_weights(model, self.weights)
        return stateless(model, batch_size=None)

    def loss(self) -> keras.losses.Loss:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def batches(self, seed: int, first: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        x, y = self._pairs("train", 1)
        random = np.random.default_rng([seed, first])
        while True:
            chosen = random.choice(len(x), self.batch_size, replace=False)
            yield x[chosen], y[chosen]

    def examples(self, seed: int) -> np.ndarray:
        return self._pairs("train", 1)[0][:200]

    def score(self, model: keras.Model) -> float:
        x, y = self._tested()
        return self._perplexity(model.predict(x, batch_size=20, verbose=0), y)

    def score_of_file(self, path: Path) -> float:
        x, y = self._tested()
        return self._perplexity(run(path, x), y)

    def _tested(self) -> tuple[np.ndarray, np.ndarray]:
        x, y = self._pairs("test", 1)
        chosen = np.linspace(0, len(x) - 1, self.windows).astype(int)
        return x[chosen], y[chosen]

    def _pairs(self, split: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = text.load("ptb", split, self.data_dir).tokens
        x, y = stream_arrays(tokens, rows, 20)[:2]
        return x.reshape(-1, 20), y.reshape(-1, 20)

    def _perplexity(self, logits: np.ndarray, y: np.ndarray) -> float:
        shifted = logits - logits.max(-1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
        return float(np.exp(-np.take_along_axis(logs, y[..., None], -1).mean()))


def run(path: Path, inputs: np.ndarray) -> np.ndarray:
    """Return the outputs of a file of batch 1 for every example."""
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    returned = interpreter.get_output_details()[0]["index"]
    outputs = []
    for example in inputs:
        interpreter.set_tensor(given, example[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(returned)[0].copy())
    return np.stack(outputs)
