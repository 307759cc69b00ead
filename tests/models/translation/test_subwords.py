"""models/translation/subwords.py: text to tokens and back, and the file."""

import errno
from pathlib import Path

import pytest

from models.translation import subwords
from models.translation.encoder_decoder import END, PADDING, START, UNKNOWN

TEXT = [
    "Two young, White males are outside near many bushes.",
    "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
    "Several men in hard hats are operating a giant pulley system.",
    "Mehrere Männer mit Schutzhelmen bedienen ein Antriebsradsystem.",
]


@pytest.fixture(scope="module")
def words():
    return subwords.train(TEXT, 100)


def test_text_comes_back_from_its_tokens(words):
    for text in [*TEXT, "many Männer", ""]:
        tokens = words.encode(text)
        assert words.decode(tokens) == text
        assert all(END < token < words.size == 100 for token in tokens)


def test_frequent_words_are_one_token_and_words_that_are_new_several(words):
    assert len(words.encode("Männer")) < len(words.encode("rennäM"))


def test_padding_start_and_end_have_no_text(words):
    tokens = words.encode("in hard hats")
    assert words.decode([START, *tokens, END, PADDING]) == "in hard hats"


def test_an_unknown_character_is_the_unknown_token(words):
    assert UNKNOWN in words.encode("hats 漢")


def test_a_saved_vocabulary_is_the_same(words, tmp_path):
    words.save(tmp_path / "words.model")
    assert [file.name for file in tmp_path.iterdir()] == ["words.model"]
    loaded = subwords.load(tmp_path / "words.model")
    assert loaded == words and hash(loaded) == hash(words)
    assert loaded.fingerprint == words.fingerprint
    assert loaded.encode(TEXT[1]) == words.encode(TEXT[1])


def test_a_vocabulary_that_cannot_be_written_leaves_the_older_file(words, tmp_path, monkeypatch):
    file = tmp_path / "words.model"
    words.save(file)

    def write_half(path, content):
        with open(path, "wb") as half:
            half.write(content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_half)
        with pytest.raises(ValueError, match="`path` must be writable. .*words.model .No space"):
            subwords.train(TEXT, 90).save(file)
    assert [path.name for path in tmp_path.iterdir()] == ["words.model"]
    assert subwords.load(file) == words
    with pytest.raises(ValueError, match="`path` must be writable. Received: .*nowhere"):
        words.save(tmp_path / "nowhere" / "words.model")


def test_training_twice_gives_the_same_vocabulary(words):
    assert subwords.train(TEXT, 100) == words
    other = subwords.train(TEXT, 90)
    assert other != words and other.fingerprint != words.fingerprint


@pytest.mark.parametrize(
    ("text", "size", "message"),
    [
        (TEXT, 4, "`size` must be an integer of at least 5. Received: size=4"),
        (TEXT, 90.5, "`size` must be an integer of at least 5. Received: size=90.5"),
        (TEXT, 10, "size=10 .*smaller than required_chars"),
        (TEXT, 5000, "size=5000 .*too high"),
        ([], 100, "size=100 .there is no text"),
    ],
)
def test_a_size_that_the_text_does_not_support_is_one_line(text, size, message):
    with pytest.raises(ValueError, match=message) as error:
        subwords.train(text, size)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError, RuntimeError])
def test_what_stops_the_reading_of_the_text_comes_out_as_it_is(kind):
    def stopping():
        yield from TEXT
        raise kind("line 5 is damaged")

    with pytest.raises(kind, match="^line 5 is damaged$"):
        subwords.train(stopping(), 100)


def test_tokens_of_another_vocabulary_are_refused(words):
    with pytest.raises(ValueError, match=r"`tokens` must be in \[0, 100\). Received: 100"):
        words.decode([5, 100])


@pytest.mark.parametrize("content", [None, b"no vocabulary"])
def test_a_missing_or_damaged_file_is_one_line(content, tmp_path):
    file = tmp_path / "words.model"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match="`path` must hold a vocabulary written by Sub") as error:
        subwords.load(file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_a_vocabulary_with_other_special_tokens_is_refused(tmp_path):
    import io

    import sentencepiece

    other = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_writer=other, vocab_size=70, minloglevel=2
    )
    (tmp_path / "words.model").write_bytes(other.getvalue())
    with pytest.raises(ValueError, match=r"padding, unknown, start and end are \[-1, 0, 1, 2\]"):
        subwords.load(tmp_path / "words.model")
