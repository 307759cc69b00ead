"""Translation of text by a trained `models.translation.encoder_decoder.seq2seq`."""

from collections.abc import Iterator, Sequence

import keras
import numpy as np
from keras import ops

from models.translation.encoder_decoder import (
    END,
    PADDING,
    START,
    decoder_step,
    encoder,
    require_vocabularies,
)
from models.translation.search import States, Step, beam_search
from models.translation.subwords import Subwords

_STEP = 8  # source lengths are padded to multiples of it, so that few shapes are compiled


def translate(
    model: keras.Model,
    sentences: Sequence[str],
    source: Subwords,
    target: Subwords,
    *,
    beam: int = 4,
    alpha: float = 0.6,
    batch_size: int = 64,
) -> list[str]:
    """Translate sentences by beam search.

    A translation has at most twice as many tokens as its source, and five more.

    Args:
        model: a trained `seq2seq`; a pruned one must be stripped.
        sentences: source sentences.
        source, target: the vocabularies that the model was trained with.
        beam: hypotheses kept for a sentence; 1 is greedy.
        alpha: of the length penalty; see `models.translation.search`.
        batch_size: sentences translated at a time.

    Returns:
        The translations, in the order of the sentences.

    Raises:
        ValueError: if the vocabularies are not those of the model, a sentence is longer than the
            model takes, `sentences` is a single text, or an option is out of its range.
    """
    require_vocabularies(model, source.size, target.size)
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}")
    if isinstance(sentences, str):
        raise ValueError(f"`sentences` must be a list of texts. Received: {sentences!r}")
    tokens = [[*source.encode(sentence), END] for sentence in sentences]
    length = model.inputs[0].shape[1]
    _require_fit(tokens, length)
    encode, step = encoder(model), _step(model, min(beam, target.size))
    translations = [""] * len(tokens)
    for group in _by_length(tokens, batch_size):
        padded = _padded([tokens[index] for index in group], length)
        hypotheses = beam_search(
            step,
            [padded, *map(np.asarray, encode.predict_on_batch(padded))],
            start=START,
            end=END,
            max_length=np.array([2 * len(tokens[index]) + 5 for index in group]),
            beam=beam,
            alpha=alpha,
        )
        for index, hypothesis in zip(group, hypotheses):
            translations[index] = target.decode(hypothesis.tokens)
    return translations


def _step(model: keras.Model, count: int) -> Step:
    """One step of the search: the model's, with only the best tokens given back."""
    plain = decoder_step(model)
    logits, *after = plain.outputs
    best = ops.top_k(ops.log_softmax(logits), max(count, 1))
    search = keras.Model(plain.inputs, [*best, *after])

    def step(tokens: np.ndarray, states: States) -> tuple[np.ndarray, np.ndarray, States]:
        scores, candidates, *after = search.predict_on_batch([tokens[:, None], *states])
        return scores, candidates, [*states[:3], *after]  # source, memory and keys stay

    return step


def _by_length(tokens: list[list[int]], batch_size: int) -> Iterator[list[int]]:
    """Positions in groups of like length, so that little is padded."""
    order = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def _padded(tokens: list[list[int]], length: int | None) -> np.ndarray:
    longest = max(map(len, tokens))
    padded = np.full((len(tokens), length or -(-longest // _STEP) * _STEP), PADDING, np.int32)
    for row, values in zip(padded, tokens):
        row[: len(values)] = values
    return padded


def _require_fit(tokens: list[list[int]], length: int | None) -> None:
    for number, values in enumerate(tokens, start=1):
        if length is not None and len(values) > length:
            raise ValueError(
                f"`sentences` must have at most {length} tokens each, the end included, as the "
                f"model takes. Received: sentence {number} of {len(values)} tokens"
            )
