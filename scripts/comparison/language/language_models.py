"""The LSTM family of the comparison: language models on Penn Treebank, dense and pruned.

`train` returns, beside what every family does, `perplexity` and `valid_perplexity` of the model as
stripped, over every word of test and validation text, and the `words` seen in training.

Dense models of several widths, and the widest one pruned gradually, all trained in the way of
Zaremba et al. (arXiv 1409.2329): stateful truncated back-propagation over contiguous streams, SGD
with clipped gradients, and a learning rate that is constant at first and then decays. Embedding,
LSTM kernels and softmax are pruned to the same sparsity, biases are not.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras

from models.data import text
from models.language.lstm import lstm_language_model, stateless
from models.language.training import (
    Perplexity,
    ResetStates,
    WordCrossEntropy,
    zaremba_optimizer,
)
from scripts.comparison import protocol
from scripts.comparison.language import bfloat16
from scripts.comparison.language.lstm_presets import (
    PRESETS,
    VARIANTS,
    Preset,
    Recipe,
    estimate,
    jobs,
)
from scripts.lab import fingerprints, many_steps
from scripts.lab.folders import ROOT
from scripts.lab.results_file import Job

EXPORTED_WORDS = 20  # that a file reads at once

__all__ = [
    "EXPORTED_WORDS",
    "PRESETS",
    "VARIANTS",
    "Plan",
    "Preset",
    "Recipe",
    "build",
    "estimate",
    "jobs",
    "perplexity",
    "train",
]


class _Training(protocol.Training):
    """A language model on its text."""

    def __init__(
        self,
        job: Job,
        preset: Preset,
        data_dir: str | os.PathLike[str] | None,
        mixed: bool = False,
    ):
        self._mixed = mixed
        self.settings = {"mixed": True} if mixed else {}
        self._recipe = next(own for own in preset.dense if own.units == job.options["units"])
        self._texts = {split: text.load("ptb", split, data_dir) for split in text.SPLITS}
        self._words = self._texts["train"].tokens[: preset.words]
        self._batches = text.streams(self._words, self._recipe.batch_size, self._recipe.steps)
        self._plan = Plan.of(self._recipe, int(self._batches.cardinality()))
        self.total = self._plan.total
        self.data = fingerprints.of_data(*(own.tokens for own in self._texts.values()))

    def compiled(self, prepare: Any) -> tuple[keras.Model, Any]:
        built = build(self._recipe, len(self._texts["train"].vocabulary))
        if self._mixed and _on_jax():  # what was trained so is the same anywhere
            built = bfloat16.quick_copy(built)
        model, pruning = prepare(built)
        model.compile(self._plan.optimizer(self._recipe), WordCrossEntropy(), jit_compile=_jit())
        return model, pruning

    def fit(self, model: keras.Model, done: int, callbacks: list[keras.callbacks.Callback]) -> None:
        plan = self._plan
        if self._mixed:
            bfloat16.require_jax()
        options: dict[str, Any] = {
            "epochs": plan.total // plan.piece,
            "initial_epoch": done // plan.piece,
            "steps_per_epoch": plan.piece,
            "callbacks": [_ResetEachPass(plan.batches // plan.piece), *callbacks],
        }
        if _on_jax():
            x, y = text.stream_arrays(self._words, self._recipe.batch_size, self._recipe.steps)
            batches = ((x[at], y[at]) for at in plan.places(done))
            many_steps.fit(model, batches, in_one_call=True, **options)
        else:
            batches = self._batches.take(plan.batches).repeat().skip(done)
            model.fit(batches, shuffle=False, verbose=0, **options)

    def plain(self, stripped: keras.Model) -> keras.Model:
        return bfloat16.usual_copy(stripped) if self._mixed else stripped

    def measure(self, plain: keras.Model) -> dict[str, Any]:
        test, valid = _perplexities(plain, *(self._texts[s].tokens for s in ("test", "valid")))
        return {
            "perplexity": test,
            "valid_perplexity": valid,
            "words": self.total * self._recipe.batch_size * self._recipe.steps,
        }

    def counted(self, plain: keras.Model) -> keras.Model:
        return stateless(plain)  # states are no parameters

    def exported(self, plain: keras.Model) -> keras.Model:
        return stateless(plain, steps=EXPORTED_WORDS)


class Plan(NamedTuple):
    """Optimizer steps of a training.

    Attributes:
        piece: between two checkpoints.
        batches: of a pass.
        total: of all passes.
    """

    piece: int
    batches: int
    total: int

    @classmethod
    def of(cls, recipe: Recipe, batches: int) -> "Plan":
        """Return the plan of a recipe on a text of so many batches.

        Raises:
            ValueError: if there are too few.
        """
        pieces = recipe.parts * recipe.checkpoints
        piece = batches // pieces
        if not piece:
            raise ValueError(f"the training text must have at least {pieces} batches")
        return cls(piece, piece * pieces, piece * pieces * recipe.passes)

    def places(self, done: int) -> Iterator[int]:
        """Yield the batch of the text that each of the steps after `done` has."""
        return (step % self.batches for step in range(done, self.total))

    def optimizer(self, recipe: Recipe) -> keras.optimizers.SGD:
        """Return the optimizer, with a learning rate that decays with the recipe's parts."""
        return zaremba_optimizer(
            self.batches // recipe.parts,
            steps=recipe.steps,
            clip=recipe.clip,
            constant_epochs=recipe.constant_parts,
            decay=recipe.decay,
        )


def build(recipe: Recipe, vocabulary: int) -> keras.Model:
    """Return the model of a recipe, uncompiled, for so many words."""
    return lstm_language_model(
        recipe.units,
        vocabulary=vocabulary,
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        dropout=recipe.dropout,
        init_scale=recipe.init_scale,
    )


def perplexity(model: keras.Model, tokens: Any) -> float:
    """Return the perplexity of every word of a text but the first.

    Each of the model's streams begins with LSTM states of zero. The model is compiled anew.

    Args:
        model: stateful language model, plain or pruned.
        tokens: (n,) integers of its vocabulary.

    Raises:
        ValueError: if a word is not in the vocabulary.
    """
    (found,) = _perplexities(model, tokens)
    return found


def _perplexities(model: keras.Model, *texts: Any) -> list[float]:
    """Perplexity of each text, with one compilation for all."""
    for tokens in texts:
        text.require_fitting(tokens, model)
    model.compile(loss=WordCrossEntropy(), weighted_metrics=[Perplexity()], jit_compile=_jit())
    found = []
    for tokens in texts:
        batches = text.streams(tokens, *model.input_shape, every_token=True)
        told = model.evaluate(batches, verbose=0, return_dict=True, callbacks=[ResetStates()])
        found.append(float(told["perplexity"]))
    return found


class _ResetEachPass(ResetStates):
    """Begins each pass over the text anew, not each of the parts that an epoch of `fit` is."""

    def __init__(self, parts: int):
        super().__init__()
        self._parts = parts

    def on_epoch_begin(self, epoch, logs=None):
        if epoch % self._parts == 0:
            super().on_epoch_begin(epoch, logs)


def _on_jax() -> bool:
    return keras.backend.backend() == "jax"


def _jit() -> bool:
    """XLA: on a CPU it saves a third, on a GPU the launch of thousands of small kernels."""
    return True


PROTOCOL = protocol.Protocol(
    "lstm",
    PRESETS,
    _Training,
    [
        Path(__file__).parent,
        Path(many_steps.__file__),
        ROOT / "models" / "language",
        ROOT / "models" / "data" / "text.py",
        ROOT / "models" / "data" / "word_streams.py",
    ],
    inference=f"{EXPORTED_WORDS} words after a state of zero",
)
train = PROTOCOL.train
