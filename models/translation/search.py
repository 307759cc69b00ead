"""Beam search with GNMT's length penalty, for a batch of sentences.

Hypotheses Y are ranked by log P(Y) / lp(Y) with

    lp(Y) = ((5 + |Y|) / 6)^alpha,

|Y| the number of tokens, the end included. A hypothesis that ends leaves the beam, which is smaller
by one from then on; with a beam of one the search is therefore the greedy one. A sentence is done
when its beam is empty, or when nothing that is left in it could still win: log P only falls with
length, so that log P / lp(longest) bounds every continuation.

Source: Wu et al., arXiv 1609.08144, section 7, without its coverage penalty. Time
O(steps (step + B k^2 log k)) for B sentences and k hypotheses each.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

States = list[np.ndarray]
Step = Callable[[np.ndarray, States], tuple[np.ndarray, np.ndarray, States]]


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """A translation: its tokens without start and end, and log P(Y) with log P(Y) / lp(Y)."""

    tokens: tuple[int, ...]
    log_probability: float
    score: float


def length_penalty(length: int | np.ndarray, alpha: float) -> float | np.ndarray:
    """Return ((5 + length) / 6)^alpha.

    Example:
        >>> length_penalty(7, 1.0), length_penalty(100, 0.0)
        (2.0, 1.0)
    """
    return ((5 + length) / 6) ** alpha


def beam_search(
    step: Step,
    states: States,
    *,
    start: int,
    end: int,
    max_length: int | np.ndarray,
    beam: int = 4,
    alpha: float = 0.6,
) -> list[Hypothesis]:
    """Find the best hypothesis of each sentence.

    Args:
        step: (last tokens (n,), states) -> (log-probabilities (n, c), the tokens that have them
            (n, c), next states), n = B k. Each row must hold the best min(k, vocabulary) tokens at
            least.
        states: arrays (B, ...), those before the first token.
        start: token before the first.
        end: token after the last.
        max_length: most tokens of a hypothesis, the end included; an integer or one a sentence.
        beam: k, most hypotheses kept for a sentence, at least 1.
        alpha: of the length penalty, at least 0, which prefers short translations.

    Returns:
        One hypothesis a sentence. One that reached `max_length` need not have ended.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> table = np.log([[0.1, 0.6, 0.3], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]])
        >>> def step(tokens, states):
        ...     return table[tokens], np.tile(np.arange(3), (len(tokens), 1)), states
        >>> beam_search(step, [np.zeros((1, 1))], start=0, end=2, max_length=9)[0].tokens
        (1,)
    """
    if beam < 1:
        raise ValueError(f"`beam` must be at least 1. Received: beam={beam}")
    if not alpha >= 0:  # NaN included
        raise ValueError(f"`alpha` must be at least 0. Received: alpha={alpha}")
    if np.min(max_length) < 1:
        raise ValueError(f"`max_length` must be at least 1. Received: max_length={max_length}")
    sentences = len(states[0])
    longest = np.broadcast_to(max_length, (sentences,))
    states = [np.repeat(state, beam, axis=0) for state in states]
    # All hypotheses are equal at first: but for one, they do not count.
    alive = np.full((sentences, beam), -np.inf)
    alive[:, 0] = 0.0
    tokens = np.full((sentences, beam, 1), start)
    best: list[Hypothesis | None] = [None] * sentences
    ended = np.zeros(sentences, int)
    for length in range(1, int(longest.max()) + 1):
        scores, candidates, states = step(tokens[:, :, -1].reshape(-1), states)
        parents, chosen, alive = _extend(alive, scores, candidates)
        tokens = np.concatenate([_pick(tokens, parents), chosen[..., None]], axis=2)
        states = [_pick_rows(state, parents) for state in states]
        alive[np.arange(beam) >= (beam - ended)[:, None]] = -np.inf
        leaving = np.isfinite(alive) & ((chosen == end) | (length >= longest)[:, None])
        for sentence, place in zip(*np.nonzero(leaving)):
            found = _hypothesis(tokens[sentence, place, 1:], alive[sentence, place], end, alpha)
            best[sentence] = _better(best[sentence], found)
        ended += leaving.sum(axis=1)
        alive[leaving] = -np.inf
        bounds = alive.max(axis=1) / length_penalty(longest, alpha)
        alive[[b is not None and b.score >= bound for b, bound in zip(best, bounds)]] = -np.inf
        if not np.isfinite(alive).any():
            break
    return [hypothesis or Hypothesis((), -np.inf, -np.inf) for hypothesis in best]


def _extend(
    alive: np.ndarray, scores: np.ndarray, candidates: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best k extensions of each sentence: which hypothesis, which token, log P; (B, k) each."""
    sentences, beam = alive.shape
    count = scores.shape[-1]
    totals = (alive.reshape(-1, 1) + scores).reshape(sentences, beam * count)
    order = np.argsort(-totals, axis=1, kind="stable")[:, :beam]
    chosen = np.take_along_axis(candidates.reshape(sentences, -1), order, axis=1)
    return order // count, chosen, np.take_along_axis(totals, order, axis=1)


def _pick(values: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Values (B, k, ...) of the hypotheses that were extended."""
    return values[np.arange(len(values))[:, None], parents]


def _pick_rows(values: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """The same for values (B k, ...)."""
    rows = parents + np.arange(len(parents))[:, None] * parents.shape[1]
    return values[rows.reshape(-1)]


def _hypothesis(tokens: np.ndarray, log_probability: float, end: int, alpha: float) -> Hypothesis:
    score = log_probability / length_penalty(len(tokens), alpha)
    kept = tokens[:-1] if tokens[-1] == end else tokens
    return Hypothesis(tuple(map(int, kept)), float(log_probability), float(score))


def _better(first: Hypothesis | None, second: Hypothesis) -> Hypothesis:
    return second if first is None or second.score > first.score else first
