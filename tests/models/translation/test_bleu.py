"""models/translation/bleu.py: sacreBLEU's score with its signature."""

import math

import pytest
import sacrebleu

from models.translation.bleu import corpus_bleu

REFERENCES = ["Ein Mann mit einem Hut, der etwas anstarrt.", "Zwei Hunde laufen über das Gras."]


def test_a_copied_reference_has_100():
    assert corpus_bleu(REFERENCES, REFERENCES).score == 100.0


def test_another_text_has_about_nothing():
    assert corpus_bleu(["completely different", "words here"], REFERENCES).score < 5


def test_the_score_is_that_of_the_definition():
    # 1- to 4-grams found: 4 of 5, 3 of 4, 2 of 3, 1 of 2; nothing too short.
    found = corpus_bleu(["a b c d x"], ["a b c d e"], tokenize="none")
    expected = 100 * math.exp(sum(map(math.log, (4 / 5, 3 / 4, 2 / 3, 1 / 2))) / 4)
    assert found.score == pytest.approx(expected)


def test_the_signature_is_printed_with_the_score():
    found = corpus_bleu(REFERENCES, REFERENCES)
    version = sacrebleu.__version__
    assert found.signature == f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{version}"
    assert str(found) == f"BLEU 100.00 ({found.signature})"
    assert "tok:none" in corpus_bleu(REFERENCES, REFERENCES, tokenize="none").signature


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "as many, and one at least. Received: 0 and 0"),
        ((["a"], ["a", "b"]), "as many, and one at least. Received: 1 and 2"),
    ],
)
def test_texts_that_do_not_correspond_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        corpus_bleu(*arguments)


def test_an_unknown_tokenizer_names_the_known_ones():
    with pytest.raises(ValueError, match="`tokenize` must be one of 13a, .*tokenize='moses'"):
        corpus_bleu(["a"], ["a"], tokenize="moses")
