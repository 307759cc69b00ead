"""models/data/translation_batches.py: sub-words, lengths, buckets and padding."""

import numpy as np
import pytest
import tensorflow as tf

from models.data.translation_batches import batches, encode
from models.translation import encoder_decoder, subwords

ENGLISH = ["two dogs", "a man in a red hat", "a man", "two men in red hats see a dog", "dogs", ""]
GERMAN = ["zwei hunde", "ein mann mit rotem hut", "ein mann", "zwei sehen hunde", "hunde", "x"]


@pytest.fixture
def pairs():
    return tf.data.Dataset.from_tensor_slices((ENGLISH, GERMAN))


@pytest.fixture(scope="module")
def words():
    return subwords.train([*ENGLISH, *GERMAN], 40)


def test_sentences_become_tokens_between_start_and_end(pairs, words):
    encoded = list(encode(pairs, words, words, max_length=40).as_numpy_iterator())
    assert len(encoded) == len(ENGLISH) - 1  # without the empty one
    for (source, target), english, german in zip(encoded, ENGLISH, GERMAN):
        assert source.tolist() == [*words.encode(english), encoder_decoder.END]
        expected = [encoder_decoder.START, *words.encode(german), encoder_decoder.END]
        assert target.tolist() == expected


def test_longer_sentences_are_left_out(pairs, words):
    lengths = [
        max(len(words.encode(english)), len(words.encode(german))) + 1
        for english, german in zip(ENGLISH[:-1], GERMAN)
    ]
    limit = sorted(lengths)[2]
    kept = encode(pairs, words, words, max_length=limit)
    assert sum(1 for _ in kept) == sum(length <= limit for length in lengths) < len(lengths)


def made(encoded, **options):
    return list(batches(encoded, **{"max_length": 40, **options}).as_numpy_iterator())


def test_batches_are_padded_sentences_of_like_length_with_shifted_targets(pairs, words):
    encoded = encode(pairs, words, words, max_length=40)
    found = set()
    for (source, before), after in made(encoded, batch_size=2):
        assert source.shape == before.shape == after.shape and source.shape[1] % 8 == 0
        assert len(source) <= 2
        lengths = [np.count_nonzero(part, axis=1) for part in (source, before, after)]
        assert (lengths[1] == lengths[2]).all()
        # None of them would have fitted into the next smaller bucket.
        assert (np.maximum(lengths[0], lengths[2]) > source.shape[1] - 8).all()
        for row, first, second in zip(source, before, after):
            size = np.count_nonzero(second)
            assert first[0] == encoder_decoder.START
            assert first[1:size].tolist() == second[: size - 1].tolist()
            assert second[size - 1] == encoder_decoder.END
            assert row[np.count_nonzero(row) - 1] == encoder_decoder.END
            found.add((words.decode(row), words.decode(second)))
    assert found == set(zip(ENGLISH[:-1], GERMAN))


@pytest.mark.parametrize("bucket", [1, 3])
def test_no_length_is_padded_to_more_than_the_next_multiple(bucket, pairs, words):
    encoded = encode(pairs, words, words, max_length=40)
    for (source, before), after in made(encoded, batch_size=2, bucket=bucket):
        longest = np.maximum(*(np.count_nonzero(part, axis=1) for part in (source, after)))
        assert (longest > source.shape[1] - bucket).all() and source.shape == before.shape


def test_every_seed_has_its_own_order_and_always_the_same(pairs, words):
    encoded = encode(pairs, words, words, max_length=40)

    def order(seed):
        return [source.tolist() for (source, _), _ in made(encoded, batch_size=1, seed=seed)]

    orders = [order(seed) for seed in range(6)]
    assert orders == [order(seed) for seed in range(6)]
    assert len({str(each) for each in orders}) > 1
    assert all(sorted(each) == sorted(orders[0]) for each in orders)


def test_impossible_sizes_are_refused(pairs, words):
    with pytest.raises(ValueError, match="`max_length` must be at least 2. Received: max_length=1"):
        encode(pairs, words, words, max_length=1)
    with pytest.raises(ValueError, match="`batch_size` must be at least 1. Rec.*batch_size=0"):
        batches(pairs, batch_size=0, max_length=4)
    with pytest.raises(ValueError, match="`bucket` must be at least 1. Received: bucket=0"):
        batches(pairs, batch_size=1, max_length=4, bucket=0)
