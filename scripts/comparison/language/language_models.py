"""The LSTM family of the comparison: language models on Penn Treebank, dense and pruned.

    jobs(preset, seed)                        the runs of one seed, dense ones first
    train(job, preset, seed, checkpoint_dir)  one of them; returns what came out
    estimate(preset, seeds)                   seconds on one CPU core

Dense models of several widths, and the widest one pruned gradually, all trained in the way of
Zaremba et al. (arXiv 1409.2329): stateful truncated back-propagation over contiguous streams, SGD
with clipped gradients, and a learning rate that is constant at first and then decays. Embedding,
LSTM kernels and softmax are pruned to the same sparsity, biases are not.
"""

import os
from collections.abc import Sequence
from typing import Any

import keras

import tfprune
from models.data import text
from models.language.lstm import lstm_language_model, stateless
from models.language.training import Perplexity, ResetStates, zaremba_optimizer
from scripts.comparison import training
from scripts.comparison.language.lstm_presets import (
    PRESETS,
    VARIANTS,
    Preset,
    Recipe,
    estimate,
    find,
    jobs,
)
from scripts.lab.checkpoints import Checkpoint
from scripts.lab.results_file import Job

__all__ = ["PRESETS", "VARIANTS", "Preset", "Recipe", "estimate", "jobs", "perplexity", "train"]


def train(
    job: Job,
    preset: str,
    seed: int,
    checkpoint_dir: str | os.PathLike[str] | None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict[str, Any]:
    """Train one model, from its last checkpoint if there is one, and measure it.

    Args:
        job: of `jobs(preset, seed)`.
        preset: name in PRESETS.
        seed: as in `jobs`.
        checkpoint_dir: folder for the run's checkpoint, `lstm-<preset>-<method>-<sparsity>-
            <seed>.npz`, which stays when the run is done; None writes none.
        data_dir: folder of the text, see `models.data.text.load`.
        callbacks: further ones, such as one that shows the progress: `passes * parts` epochs.

    Returns:
        `perplexity` and `valid_perplexity` of the model as stripped, over every word of test and
        validation text; `nonzeros`, `parameters`, `dense_bytes`, `bitmask_bytes`, `csr_bytes`,
        `compression_rate` and `space_saving` of all its parameters; `words` seen in training;
        `seconds` and `cpu_seconds` of the training, that before a restart included.

    Raises:
        ValueError: for an unknown preset or job, or a text or a checkpoint that is missing,
            damaged or does not fit.
    """
    chosen = find(preset)
    training.require_own(job, preset, jobs(preset, seed))
    recipe = next(own for own in chosen.dense if own.units == job.options["units"])
    texts = {split: text.load("ptb", split, data_dir) for split in text.SPLITS}
    words = texts["train"].tokens[: chosen.words]
    batches = text.streams(words, recipe.batch_size, recipe.steps)
    part = int(batches.cardinality()) // recipe.parts
    if not part:
        raise ValueError(f"the training text must have at least {recipe.parts} batches")

    keras.utils.set_random_seed(seed)
    model = _build(recipe, len(texts["train"].vocabulary))
    total = part * recipe.parts * recipe.passes
    model, pruning = training.pruned(model, chosen, job.sparsity, total)
    model.compile(
        zaremba_optimizer(
            part,
            steps=recipe.steps,
            clip=recipe.clip,
            constant_epochs=recipe.constant_parts,
            decay=recipe.decay,
        ),
        _loss(),
        jit_compile=_jit(),
    )
    checkpoint = Checkpoint(
        training.checkpoint_path("lstm", preset, job, checkpoint_dir),
        {**job.key, **job.options, "vocabulary": len(texts["train"].vocabulary), "part": part},
    )
    done = checkpoint.restore(model)
    if done < total:
        model.fit(
            batches.take(part * recipe.parts).repeat().skip(done),
            epochs=recipe.parts * recipe.passes,
            initial_epoch=done // part,
            steps_per_epoch=part,
            shuffle=False,
            verbose=0,
            callbacks=[_ResetEachPass(recipe.parts), *pruning, *callbacks, checkpoint],
        )
    plain = tfprune.strip_pruning(model) if job.sparsity else model
    return {
        "perplexity": perplexity(plain, texts["test"].tokens),
        "valid_perplexity": perplexity(plain, texts["valid"].tokens),
        **training.footprint(stateless(plain)),
        "words": total * recipe.batch_size * recipe.steps,
        "seconds": round(checkpoint.seconds, 2),
        "cpu_seconds": round(checkpoint.cpu_seconds, 2),
    }


def perplexity(model: keras.Model, tokens: Any) -> float:
    """Return the perplexity of every word of a text but the first.

    Each of the model's streams begins with LSTM states of zero. The model is compiled anew.

    Args:
        model: stateful language model, plain or pruned.
        tokens: (n,) integers of its vocabulary.

    Raises:
        ValueError: if a word is not in the vocabulary.
    """
    text.require_fitting(tokens, model)
    batches = text.streams(tokens, *model.input_shape, every_token=True)
    model.compile(loss=_loss(), weighted_metrics=[Perplexity()], jit_compile=_jit())
    found = model.evaluate(batches, verbose=0, return_dict=True, callbacks=[ResetStates()])
    return float(found["perplexity"])


class _ResetEachPass(ResetStates):
    """Begins each pass over the text anew, not each of the parts that an epoch of `fit` is."""

    def __init__(self, parts: int):
        super().__init__()
        self._parts = parts

    def on_epoch_begin(self, epoch, logs=None):
        if epoch % self._parts == 0:
            super().on_epoch_begin(epoch, logs)


def _build(recipe: Recipe, vocabulary: int) -> keras.Model:
    return lstm_language_model(
        recipe.units,
        vocabulary=vocabulary,
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        dropout=recipe.dropout,
        init_scale=recipe.init_scale,
    )


def _loss() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _jit() -> bool | str:
    """XLA on a CPU, where it saves a third; "auto" lets TensorFlow take cuDNN's LSTM on a GPU."""
    return "auto" if training.has_gpu() else True
