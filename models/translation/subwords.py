"""Sub-word vocabularies by SentencePiece (byte-pair encoding, Sennrich et al., ACL 2016)."""

import io
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import sentencepiece

from models.translation.encoder_decoder import END, PADDING, START, UNKNOWN

_SMALLEST = END + 2


class Subwords:
    """A vocabulary: text <-> tokens in [0, size), the first four as in `encoder_decoder`.

    Args:
        content: a serialized SentencePiece model, as `train` and `load` give it.
    """

    def __init__(self, content: bytes):
        self._content = content
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=content)

    @property
    def size(self) -> int:
        """Number of tokens."""
        return self._processor.get_piece_size()

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that differ between vocabularies."""
        return f"{zlib.crc32(self._content):08x}"

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, without start and end.

        Characters that the training text lacks become unknown; runs of spaces become one.
        """
        return self._processor.encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens; padding, start and end have none.

        Raises:
            ValueError: if a token is not in the vocabulary.
        """
        tokens = list(map(int, tokens))
        outside = next((token for token in tokens if not 0 <= token < self.size), None)
        if outside is not None:
            raise ValueError(f"`tokens` must be in [0, {self.size}). Received: {outside}")
        return self._processor.decode(tokens)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary as one file, which SentencePiece's own tools read.

        Raises:
            ValueError: if the file cannot be written; an older one is left as it was then.
        """
        path = Path(path)
        new = path.with_name(f".{os.getpid()}.{path.name}")
        try:
            try:
                new.write_bytes(self._content)
                new.replace(path)
            finally:
                new.unlink(missing_ok=True)
        except OSError as error:
            raise ValueError(
                f"`path` must be writable. Received: {path} ({error.strerror})"
            ) from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subwords) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)


def train(texts: Iterable[str], size: int) -> Subwords:
    """Learn a vocabulary from the training text; of both languages, to share one.

    Args:
        texts: sentences.
        size: number of tokens.

    Raises:
        ValueError: if the text has too few different words for so many tokens, or too many
            characters for so few, or there is none. What `texts` raises comes out as it is.

    Example:
        >>> words = train(["a man sees a man", "a woman sees a man"], 20)
        >>> words.decode(words.encode("a man sees")), words.size
        ('a man sees', 20)
    """
    if not isinstance(size, int) or size < _SMALLEST:
        raise ValueError(
            f"`size` must be an integer of at least {_SMALLEST}. Received: size={size!r}"
        )
    trained = io.BytesIO()
    stopped: list[BaseException] = []

    def sentences() -> Iterator[str]:
        try:
            yield from texts
        except (Exception, KeyboardInterrupt) as error:
            stopped.append(error)
            raise

    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=sentences(),
            model_writer=trained,
            model_type="bpe",
            vocab_size=size,
            character_coverage=1.0,
            normalization_rule_name="identity",
            pad_id=PADDING,
            unk_id=UNKNOWN,
            bos_id=START,
            eos_id=END,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        if stopped:  # SentencePiece makes an error of its own of whatever the iterator raises
            raise stopped[0]
        raise ValueError(
            f"`size` must be a number of tokens that the text supports. Received: size={size} "
            f"({_reason(error, 'there is no text')})"
        ) from error
    return Subwords(trained.getvalue())


def load(path: str | os.PathLike[str]) -> Subwords:
    """Read a vocabulary that was saved.

    Raises:
        ValueError: if the file cannot be read or holds no such vocabulary.
    """
    try:
        subwords = Subwords(Path(path).read_bytes())
        processor = subwords._processor
        first = [processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id()]
        if first != [PADDING, UNKNOWN, START, END]:
            raise ValueError(f"padding, unknown, start and end are {first}")
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            "`path` must hold a vocabulary written by Subwords.save. "
            f"Received: {path} ({_reason(error, 'it is no SentencePiece model')})"
        ) from error
    return subwords


def _reason(error: Exception, otherwise: str) -> str:
    """What SentencePiece says, if it says more than the condition in its source that failed."""
    text = " ".join(str(error).split())
    return re.sub(r"^INTERNAL: \S+\(\d+\) \[.*?\](?= \w|$)", "", text).strip() or otherwise
