"""Batches for `models.translation.encoder_decoder.seq2seq` in `tf.data`.

Sub-words, a filter by length, buckets of like length, padding.
"""

from typing import Any

import numpy as np

from models.translation.encoder_decoder import END, START
from models.translation.subwords import Subwords


def encode(pairs: Any, source: Subwords, target: Subwords, *, max_length: int) -> Any:
    """Sentences as tokens, without those that are empty or too long; kept in memory.

    Args:
        pairs: what `models.data.translation.load` gives.
        source, target: the vocabularies of the two languages, which may be one.
        max_length: most tokens of a sentence, the end included.

    Returns:
        A `tf.data.Dataset` of (tokens and end, start and tokens and end), int32 vectors.

    Raises:
        ValueError: if `max_length` is less than 2.
    """
    import tensorflow as tf

    if max_length < 2:
        raise ValueError(f"`max_length` must be at least 2. Received: max_length={max_length}")

    def tokens(first: bytes, second: bytes) -> tuple[np.ndarray, np.ndarray]:
        reading = [*source.encode(first.decode()), END]
        writing = [START, *target.encode(second.decode()), END]
        return np.array(reading, np.int32), np.array(writing, np.int32)

    def shaped(first: Any, second: Any) -> tuple[Any, Any]:
        both = tf.numpy_function(tokens, [first, second], [tf.int32, tf.int32], stateful=False)
        return tuple(tf.ensure_shape(vector, [None]) for vector in both)

    def fits(first: Any, second: Any) -> Any:
        longest = tf.maximum(tf.size(first), tf.size(second) - 1)
        return (longest <= max_length) & (tf.size(first) > 1) & (tf.size(second) > 2)

    return pairs.map(shaped).filter(fits).cache()


def batches(
    encoded: Any,
    *,
    batch_size: int,
    max_length: int,
    bucket: int = 8,
    seed: int | None = None,
    buffer: int = 100_000,
) -> Any:
    """One epoch of batches for `seq2seq`, each of sentences of like length.

    Lengths are padded to multiples of `bucket`: where shapes are compiled, to few of them.

    Args:
        encoded: what `encode` gives.
        batch_size: sentences a batch; the last of each length may have fewer.
        max_length: as given to `encode`.
        bucket: tokens from one length to the next.
        seed: of the order; another one for every epoch. None keeps the order of the files.
        buffer: sentences among which the next one is drawn; all of a smaller data set.

    Returns:
        A `tf.data.Dataset` of ((source, target before), target), (batch, length) int32 each.

    Raises:
        ValueError: if `batch_size` or `bucket` is less than 1.
    """
    import tensorflow as tf

    for name, value in (("batch_size", batch_size), ("bucket", bucket)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={value}")
    if seed is not None:
        encoded = encoded.shuffle(buffer, seed=seed, reshuffle_each_iteration=False)
    shifted = encoded.map(lambda source, target: ((source, target[:-1]), target[1:]))
    ends = [*range(bucket, max_length, bucket), max_length]
    return shifted.bucket_by_sequence_length(
        lambda inputs, target: tf.maximum(tf.size(inputs[0]), tf.size(target)),
        bucket_boundaries=[end + 1 for end in ends],  # the first length that is too long
        bucket_batch_sizes=[batch_size] * (len(ends) + 1),
        pad_to_bucket_boundary=True,
    ).prefetch(tf.data.AUTOTUNE)
