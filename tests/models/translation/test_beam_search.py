"""models/translation/search.py against exhaustive and greedy search on Markov chains."""

import itertools

import numpy as np
import pytest

from models.translation.search import beam_search, length_penalty

START, END = 0, 1


def chain(seed, vocabulary=5, sentences=3):
    """One table of log P(next token | token) a sentence, and the step that reads it."""
    random = np.random.default_rng(seed)
    weights = random.exponential(size=(sentences, vocabulary, vocabulary)) ** 2
    tables = np.log(weights / weights.sum(axis=-1, keepdims=True))

    def step(tokens, states):
        scores = states[0][np.arange(len(tokens)), tokens]
        every = np.tile(np.arange(vocabulary), (len(tokens), 1))
        return scores, every, states

    return tables, step


def search(step, tables, **options):
    return beam_search(step, [tables], start=START, end=END, **{"max_length": 4, **options})


def exhaustive(table, max_length, alpha):
    """The best score of every translation, by its tokens without the end."""
    found = {}
    others = [token for token in range(len(table)) if token != END]
    for length in range(1, max_length + 1):
        for body in itertools.product(others, repeat=length):
            ended = (*body[:-1], END) if length < max_length else body
            for tokens in {ended, (*body[:-1], END)}:
                path = (START, *tokens)
                value = sum(table[a, b] for a, b in zip(path, path[1:]))
                score = value / ((5 + length) / 6) ** alpha
                plain = tokens[:-1] if tokens[-1] == END else tokens
                found[plain] = max(score, found.get(plain, -np.inf))
    return found


def greedy(table, max_length):
    tokens, last = [], START
    while len(tokens) < max_length:
        last = int(np.argmax(table[last]))
        if last == END:
            break
        tokens.append(last)
    return tuple(tokens)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_beam_that_holds_everything_finds_the_best(seed, alpha):
    tables, step = chain(seed)
    for table, found in zip(tables, search(step, tables, beam=5**3, alpha=alpha)):
        scores = exhaustive(table, 4, alpha)
        best = max(scores.values())  # several may have it: ABCA and BCAA are equally likely
        np.testing.assert_allclose([found.score, scores[found.tokens]], best)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_beam_of_one_is_greedy(seed, alpha):
    tables, step = chain(seed, sentences=6)
    found = search(step, tables, beam=1, alpha=alpha, max_length=7)
    assert [each.tokens for each in found] == [greedy(table, 7) for table in tables]


def test_sentences_of_a_batch_do_not_touch_each_other():
    tables, step = chain(3, sentences=8)
    together = search(step, tables, beam=3)
    alone = [search(step, tables[n : n + 1], beam=3)[0] for n in range(8)]
    assert together == alone


def test_states_follow_their_hypothesis():
    # The greedy first token leads to 0.5 * 0.4 only; the state of the other one says which it was.
    first = np.log([1e-9, 1e-9, 0.5, 0.5 - 1e-8])
    follow = {2: np.log([0.3, 0.4, 0.2, 0.1]), 3: np.log([0.05, 0.9, 0.04, 0.01])}

    def step(tokens, states):
        history = np.concatenate([states[0][:, 1:], tokens[:, None]], axis=1)
        for row, token in zip(history, tokens):
            assert row[-1] == token and (token == START or row[-2] == START)
        scores = np.array([first if token == START else follow[token] for token in tokens])
        return scores, np.tile(np.arange(4), (len(tokens), 1)), [history]

    found = beam_search(
        step, [np.zeros((1, 2), int)], start=START, end=END, max_length=2, beam=2, alpha=0.0
    )
    assert found[0].tokens == (3,)
    np.testing.assert_allclose(found[0].log_probability, np.log(0.5 * 0.9), atol=1e-6)


def test_the_length_penalty_prefers_longer_translations():
    # Ending at once has 0.5; the only other way has 0.36 with a second token, and then the end.
    table = np.log([[1e-12, 0.5, 0.5], [1.0 / 3] * 3, [1e-12, 0.72, 0.28]])
    step = chain(0, vocabulary=3)[1]
    lengths = [
        len(search(step, table[None], beam=3, alpha=alpha)[0].tokens) for alpha in (0.0, 3.0)
    ]
    assert lengths == [0, 1]
    assert length_penalty(1, 0.6) == 1.0 and length_penalty(13, 2.0) == 9.0


def test_every_sentence_has_its_own_longest_translation():
    table = np.log(np.array([[0.2, 1e-9, 0.8], [1.0 / 3] * 3, [0.2, 1e-9, 0.8]]))
    step = chain(0, vocabulary=3)[1]
    found = search(step, np.stack([table] * 3), beam=2, max_length=np.array([1, 5, 3]))
    assert [each.tokens for each in found] == [(2,), (2,) * 5, (2,) * 3]


def test_a_done_search_stops():
    table = np.log(np.array([[1e-9, 0.9, 0.1], [1.0 / 3] * 3, [0.4, 0.2, 0.4]]))
    plain, calls = chain(0, vocabulary=3)[1], []

    def step(tokens, states):
        calls.append(len(tokens))
        return plain(tokens, states)

    assert search(step, table[None], beam=2, max_length=1000, alpha=0.0)[0].tokens == ()
    assert len(calls) == 1


def test_only_the_best_tokens_have_to_be_given():
    tables, step = chain(5)

    def fewer(tokens, states):
        scores, every, states = step(tokens, states)
        best = np.argsort(-scores, axis=1)[:, :3]
        return np.take_along_axis(scores, best, 1), np.take_along_axis(every, best, 1), states

    assert search(fewer, tables, beam=3) == search(step, tables, beam=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "`beam` must be at least 1. Received: beam=0"),
        ({"alpha": -1.0}, "`alpha` must be at least 0. Received: alpha=-1.0"),
        ({"alpha": np.nan}, "`alpha` must be at least 0. Received: alpha=nan"),
        ({"max_length": 0}, "`max_length` must be at least 1. Received: max_length=0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    tables, step = chain(0)
    with pytest.raises(ValueError, match=message):
        search(step, tables, **options)
