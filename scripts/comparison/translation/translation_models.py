"""The translation family of the comparison: LSTM seq2seq models on Multi30k, dense and pruned.

`train` returns, beside what every family does, `bleu` of the test sentences, with sacreBLEU's
`signature`, of the model as stripped; `loss`, nats a token of the test text, and `valid_loss`, both
without sentences that are too long for training; and the `sentences` seen in training.

Dense models of several widths, and the widest one pruned gradually, all of them GNMT-style models
(arXiv 1609.08144) that see the same sentences in the same order. Embeddings, LSTM kernels,
attention and softmax projection are pruned to the same sparsity, biases are not. Models that are
"taught" are pruned with the dense model as teacher.
"""

import os
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

import tfprune
from models.data import translation, translation_batches
from models.translation import encoder_decoder, subwords
from models.translation.bleu import corpus_bleu
from models.translation.decoding import translate
from scripts.comparison import protocol, training
from scripts.comparison.best_epoch import BestEpoch
from scripts.comparison.translation.nmt_presets import (
    PRESETS,
    VARIANTS,
    Preset,
    estimate,
    jobs,
)
from scripts.lab.folders import ROOT
from scripts.lab.results_file import Job

__all__ = [
    "EXPORTED_TOKENS",
    "PRESETS",
    "VARIANTS",
    "Preset",
    "Texts",
    "estimate",
    "jobs",
    "read",
    "token_loss",
    "train",
]

EXPORTED_TOKENS = 16  # of source and of target in a file, about as many as sentences have
_VOCABULARY_SENTENCES = 1_000_000  # pairs that the vocabulary is learnt from, at most


class Texts(NamedTuple):
    """Vocabulary; each text as tokens; the test sentences; sentences and steps an epoch."""

    words: subwords.Subwords
    train: Any
    valid: Any
    test: Any
    sources: list[str]
    references: list[str]
    sentences: int
    steps: int


class _Training(protocol.Training):
    """A translation model on its sentences."""

    def __init__(self, job: Job, preset: Preset, data_dir: str | os.PathLike[str] | None):
        self._texts = read(preset, None if data_dir is None else Path(data_dir))
        self._preset, self._job = preset.planned(job.method.split("-")[0]), job
        self.total = self._texts.steps * self._preset.epochs
        self.data = f"{self._texts.words.fingerprint}-{self._texts.sentences}"

    def compiled(self, prepare: Any) -> tuple[keras.Model, Any]:
        plain = _build(self._job.options["units"], self._preset)
        model, pruning = prepare(plain)
        if alpha := self._job.options.get("alpha_of_teacher"):  # the dense model, as it was given
            model = tfprune.distill(model, plain, temperature=1.0, alpha=alpha)
        model.compile(
            self._preset.make_optimizer(self.total), encoder_decoder.loss(), jit_compile=_jit()
        )
        return model, pruning

    def fit(self, model: keras.Model, done: int, callbacks: list[keras.callbacks.Callback]) -> None:
        texts, epochs = self._texts, self._preset.epochs
        orders = [
            _batches(texts.train, self._preset, _order(self._job.seed, epoch))
            for epoch in range(done // texts.steps, epochs)
        ]
        model.fit(
            reduce(lambda first, second: first.concatenate(second), orders),
            epochs=epochs,
            initial_epoch=done // texts.steps,
            steps_per_epoch=texts.steps,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
        )

    def best(self, model: keras.Model) -> BestEpoch | None:
        if not self._preset.best:
            return None
        batches, sparsity, end = _batches(self._texts.valid, self._preset), self._job.sparsity, 0
        if sparsity:  # what is not sparse yet does not count
            end = training.schedule(self._preset, sparsity, self.total).end_step
        return BestEpoch(model, lambda own: token_loss(own, batches), from_step=end)

    def measure(self, plain: keras.Model) -> dict[str, Any]:
        sentences = self._texts.sentences * self._preset.epochs
        return {**_quality(plain, self._preset, self._texts), "sentences": sentences}

    def exported(self, plain: keras.Model) -> keras.Model:
        tokens = EXPORTED_TOKENS
        lengths = {"source_length": tokens, "target_length": tokens}
        fixed = _build(self._job.options["units"], self._preset, **lengths)
        for layer in fixed.layers:
            if layer.weights:
                layer.set_weights(plain.get_layer(layer.name).get_weights())
        return fixed


@lru_cache(maxsize=1)
def read(preset: Preset, data_dir: str | Path | None = None) -> Texts:
    """Return the texts of a preset, with a vocabulary that is learnt from the training text.

    Raises:
        ValueError: if the text is missing or damaged.
    """
    source = preset.data, preset.pair
    pairs, valid, test = (translation.load(*source, split, data_dir) for split in preset.splits)
    if preset.sentences is not None:
        pairs = pairs.take(preset.sentences)
    both = (
        sentence.decode()
        for pair in pairs.take(_VOCABULARY_SENTENCES).as_numpy_iterator()
        for sentence in pair
    )
    with translation.naming_damage(*source, data_dir):
        words = subwords.train(both, preset.vocabulary)
        encoded = [
            translation_batches.encode(text, words, words, max_length=preset.max_length)
            for text in (pairs, valid, test)
        ]
        for split, text in zip(preset.splits, encoded):
            if not any(True for _ in text.take(1)):
                raise ValueError(
                    f"the text of {split!r} must have sentences of at most {preset.max_length} "
                    "tokens. Received none"
                )
        sizes = [len(target) for _, target in _batches(encoded[0], preset).as_numpy_iterator()]
        sources, references = translation.texts(test)
    train_text, valid_text, test_text = encoded
    return Texts(
        words, train_text, valid_text, test_text, sources, references, sum(sizes), len(sizes)
    )


def token_loss(model: keras.Model, batches: Any) -> float:
    """Return the cross-entropy in nats, averaged over all tokens but padding.

    Keras's own average gives every batch the same weight, of whatever length its sentences are.
    """
    loss, total, tokens = encoder_decoder.loss(), 0.0, 0
    for inputs, targets in batches.as_numpy_iterator():
        count = int(np.count_nonzero(targets != encoder_decoder.PADDING))
        total += count * float(loss(targets, model.predict_on_batch(list(inputs))))
        tokens += count
    return total / tokens


def _build(units: int, preset: Preset, **lengths: int) -> keras.Model:
    return encoder_decoder.seq2seq(
        units,
        depth=preset.depth,
        source_vocabulary=preset.vocabulary,
        target_vocabulary=preset.vocabulary,
        dropout=preset.dropout,
        init_scale=preset.init_scale,
        **lengths,
    )


def _jit() -> bool | str:
    """No XLA on a CPU, where it saves a sixth of a step but compiles every length of batch anew.

    JAX has no other way. On a GPU "auto" lets TensorFlow take cuDNN's LSTM.
    """
    jax = keras.backend.backend() == "jax"
    return "auto" if training.has_gpu() or jax else False


def _order(seed: int, epoch: int) -> int:
    """Seed of the order of the sentences, another one for every epoch of every seed."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _batches(encoded: Any, preset: Preset, seed: int | None = None) -> Any:
    return translation_batches.batches(
        encoded,
        batch_size=preset.batch_size,
        max_length=preset.max_length,
        bucket=preset.bucket,
        seed=seed,
    )


def _quality(model: keras.Model, preset: Preset, texts: Texts) -> dict[str, Any]:
    translations = translate(
        model, texts.sources, texts.words, texts.words, beam=preset.beam, alpha=preset.alpha
    )
    bleu = corpus_bleu(translations, texts.references)
    return {
        "bleu": bleu.score,
        "signature": bleu.signature,
        "loss": token_loss(model, _batches(texts.test, preset)),
        "valid_loss": token_loss(model, _batches(texts.valid, preset)),
    }


PROTOCOL = protocol.Protocol(
    "nmt",
    PRESETS,
    _Training,
    [
        Path(__file__).parent,
        ROOT / "models" / "translation" / "encoder_decoder.py",
        ROOT / "models" / "data" / "translation.py",
        ROOT / "models" / "data" / "translation_batches.py",
        ROOT / "scripts" / "comparison" / "best_epoch.py",
    ],
    inference=f"one sentence of {EXPORTED_TOKENS} tokens to {EXPORTED_TOKENS} given tokens",
)
train = PROTOCOL.train
