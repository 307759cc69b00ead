"""A text in contiguous streams, as a stateful language model reads it."""

import contextlib
from typing import Any

import keras
import numpy as np


def streams(tokens: np.ndarray, batch_size: int, steps: int, *, every_token: bool = False) -> Any:
    """Lay a text out in contiguous streams, for a stateful model, as a `tf.data.Dataset`.

    The text is cut into `batch_size` streams of equal length. Batch k holds words k steps ... of
    each stream, so that row i of a batch goes on where row i of the batch before it ended; y is
    the word after x. `fit` leaves the order of a `tf.data.Dataset` alone.

    Args:
        tokens: (n,) integers.
        batch_size: B, number of streams, at least 1.
        steps: T, words in a row, at least 1.
        every_token: predict each word but the first exactly once, as a test has to: the last rows
            are filled up, and filled places have the sample weight 0. Otherwise up to
            B (T + 1) words at the ends of streams are left out, and there are no weights.

    Returns:
        Data set of x, y int32 (B, T), and the sample weights float32 (B, T) for `every_token`.

    Raises:
        ValueError: if an argument is out of its range, or the text is too short for one batch.

    Example:
        >>> for x, y in streams(np.arange(11), batch_size=2, steps=2).as_numpy_iterator():
        ...     print(x.tolist(), y.tolist())
        [[0, 1], [5, 6]] [[1, 2], [6, 7]]
        [[2, 3], [7, 8]] [[3, 4], [8, 9]]
    """
    arrays = stream_arrays(tokens, batch_size, steps, every_token=every_token)
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":  # or it would reserve all memory of the GPU
        with contextlib.suppress(RuntimeError):  # it has begun, and holds what it holds
            tf.config.set_visible_devices([], "GPU")
    return tf.data.Dataset.from_tensor_slices(arrays)


def stream_arrays(
    tokens: np.ndarray, batch_size: int, steps: int, *, every_token: bool = False
) -> tuple[np.ndarray, ...]:
    """Return what `streams` gives, all batches of x, of y and of the weights in one array each.

    Args, Raises: as of `streams`.

    Example:
        >>> [part.shape for part in stream_arrays(np.arange(11), batch_size=2, steps=2)]
        [(2, 2, 2), (2, 2, 2)]
    """
    for name, value in (("batch_size", batch_size), ("steps", steps)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={value}")
    tokens = np.asarray(tokens, np.int32)
    needed = 2 if every_token else batch_size * steps + 1
    if len(tokens) < needed:
        raise ValueError(
            f"`tokens` must be at least {needed} for {batch_size} streams and {steps} steps. "
            f"Received: {len(tokens)} tokens"
        )
    predicted = len(tokens) - 1
    if every_token:
        length = steps * -(-predicted // (batch_size * steps))
        padding = batch_size * length - predicted
        weights = np.pad(np.ones(predicted, np.float32), (0, padding))
        x, y = (np.pad(part, (0, padding)) for part in (tokens[:-1], tokens[1:]))
        columns: tuple[np.ndarray, ...] = (x, y, weights)
    else:
        length = predicted // batch_size
        columns = (tokens[: batch_size * length], tokens[1 : batch_size * length + 1])
    rows = (column.reshape(batch_size, length) for column in columns)
    return tuple(_batches(row, steps) for row in rows)


def require_fitting(tokens: np.ndarray, model: keras.Model) -> None:
    """Raise ValueError unless a language model can take these words.

    Args:
        tokens: (..., steps) integers, or (n,) of a text that will be cut into sequences.
        model: integers (batch, steps) -> logits (batch, steps, vocabulary).

    Raises:
        ValueError: if a sequence is longer than the model takes, or a word is not in its
            vocabulary.

    Example:
        >>> from models.language.lstm import lstm_language_model
        >>> model = lstm_language_model(8, vocabulary=50, steps=5, batch_size=2)
        >>> require_fitting(np.array([[3, 50]]), model)
        Traceback (most recent call last):
        ValueError: `tokens` must be in [0, 50), the vocabulary of the model. Received: 50
    """
    tokens = np.asarray(tokens)
    steps, vocabulary = model.input_shape[1], model.output_shape[-1]
    if tokens.ndim > 1 and steps is not None and tokens.shape[-1] > steps:
        raise ValueError(
            f"`tokens` must be sequences of at most {steps} words, which the model takes. "
            f"Received: {tokens.shape[-1]} words"
        )
    outside = tokens[(tokens < 0) | (tokens >= vocabulary)]
    if outside.size:
        raise ValueError(
            f"`tokens` must be in [0, {vocabulary}), the vocabulary of the model. Received: "
            f"{outside.max()}"
        )


def _batches(rows: np.ndarray, steps: int) -> np.ndarray:
    """(B, n) -> (n // steps, B, steps), one batch after the other."""
    count = rows.shape[1] // steps
    return rows[:, : count * steps].reshape(len(rows), count, steps).swapaxes(0, 1)
