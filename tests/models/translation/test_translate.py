"""models/translation/decoding.py: text in, text out, by a small trained model."""

import keras
import numpy as np
import pytest

from models.translation import encoder_decoder, subwords
from models.translation.decoding import translate

SOURCES = ["one two three", "two three", "three two one", "one", "two one two"]
TARGETS = ["drei zwei eins", "drei zwei", "eins zwei drei", "eins", "zwei eins zwei"]


def padded(rows):
    longest = max(map(len, rows))
    return np.array([[*row, *[encoder_decoder.PADDING] * (longest - len(row))] for row in rows])


@pytest.fixture(scope="module")
def trained():
    """A model that knows the five sentences by heart, and its vocabularies."""
    keras.utils.set_random_seed(0)
    source, target = subwords.train(SOURCES, 20), subwords.train(TARGETS, 22)
    model = encoder_decoder.seq2seq(32, depth=1, source_vocabulary=20, target_vocabulary=22)
    model.compile(keras.optimizers.Adam(0.02), encoder_decoder.loss(), jit_compile=False)
    model.optimizer.build(model.trainable_variables)  # as a step that does it is traced twice
    reading = padded([[*source.encode(text), encoder_decoder.END] for text in SOURCES])
    writing = [target.encode(text) for text in TARGETS]
    before = padded([[encoder_decoder.START, *tokens] for tokens in writing])
    after = padded([[*tokens, encoder_decoder.END] for tokens in writing])
    model.fit([reading, before], after, epochs=60, verbose=0)
    return model, source, target


@pytest.mark.parametrize("options", [{}, {"beam": 1}, {"batch_size": 2}, {"alpha": 0.0}])
def test_sentences_learnt_by_heart_are_translated(trained, options):
    model, source, target = trained
    assert translate(model, SOURCES, source, target, **options) == TARGETS


def greedy(model, text, source, target):
    """What the model says if it is always taken at its word, by teacher forcing."""
    reading = np.array([[*source.encode(text), encoder_decoder.END]])
    tokens = [encoder_decoder.START]
    for _ in range(2 * reading.shape[1] + 5):
        logits = model.predict_on_batch([reading, np.array([tokens])])
        tokens.append(int(np.argmax(logits[0, -1])))
        if tokens[-1] == encoder_decoder.END:
            break
    return target.decode(tokens)


def test_beam_of_one_is_greedy_on_a_model(trained):
    _, source, target = trained
    model = encoder_decoder.seq2seq(8, depth=3, source_vocabulary=20, target_vocabulary=22)
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
    expected = [greedy(model, text, source, target) for text in SOURCES]
    assert len(set(expected)) > 1
    assert translate(model, SOURCES, source, target, beam=1) == expected


def test_a_beam_wider_than_the_vocabulary_is_taken(trained):
    model, source, target = trained
    assert translate(model, SOURCES, source, target, beam=30) == TARGETS


def test_nothing_to_translate_is_no_translation(trained):
    assert translate(trained[0], [], *trained[1:]) == []


def test_a_model_of_fixed_length_translates_what_fits(trained):
    model, source, target = trained
    longest = max(len(source.encode(text)) for text in SOURCES) + 1
    vocabularies = {"source_vocabulary": 20, "target_vocabulary": 22}
    fixed = encoder_decoder.seq2seq(
        32, depth=1, **vocabularies, source_length=longest, target_length=9
    )
    fixed.set_weights(model.get_weights())
    assert translate(fixed, SOURCES, source, target) == TARGETS
    message = f"at most {longest} tokens each, .* sentence 2 of .* tokens"
    with pytest.raises(ValueError, match=message):
        translate(fixed, ["one", "one two three one two three"], source, target)


def test_a_single_text_is_not_taken_for_a_list_of_letters(trained):
    with pytest.raises(ValueError, match="`sentences` must be a list of texts. Rec.* 'one two'"):
        translate(trained[0], "one two", *trained[1:])


def test_vocabularies_of_another_model_are_refused(trained):
    model, source, target = trained
    with pytest.raises(ValueError, match="the source vocabulary must be the one .* 22 tokens"):
        translate(model, SOURCES, target, source)


@pytest.mark.parametrize("name", ["beam", "batch_size"])
def test_impossible_options_are_refused(trained, name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1. Received: {name}=0"):
        translate(trained[0], SOURCES, *trained[1:], **{name: 0})
