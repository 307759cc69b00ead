"""The image family of the comparison: MobileNets or ResNets of several sizes, dense and pruned.

    jobs(preset, seed)                        the runs of one seed, dense ones first
    train(job, preset, seed, checkpoint_dir)  one of them; returns what came out
    estimate(preset, seeds)                   seconds on one CPU core

All models see the same images in the same order, mirrored alike. Convolutions and the
classifier are pruned to the same sparsity; the first convolution and depthwise kernels, 1 to 2 % of
the weights, stay dense, as in Zhu & Gupta (arXiv 1710.01878).
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

import cnn_presets
import models
import tfprune
from checkpoints import Checkpoint
from cnn_data import images_of
from cnn_presets import PRESETS, Preset, estimate, jobs
from results_file import Job

__all__ = ["PRESETS", "Preset", "estimate", "jobs", "train"]


def train(
    job: Job,
    preset: str,
    seed: int,
    checkpoint_dir: str | os.PathLike[str] | None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    load: Callable[..., models.Dataset] = models.load,
) -> dict[str, Any]:
    """Train one model, from its last checkpoint if there is one, and measure it.

    Args:
        job: of `jobs(preset, seed)`.
        preset: name in PRESETS.
        seed: as in `jobs`.
        checkpoint_dir: folder for the run's checkpoint, `cnn-<preset>-<method>-<sparsity>-
            <seed>.npz`, which stays when the run is done; None writes none.
        data_dir: folder of the images, see `models.load`.
        callbacks: further ones, such as one that shows the progress; each epoch is one of `fit`.
        load: name, data_dir -> data set.

    Returns:
        `accuracy` of the model as stripped on all test images; `nonzeros`, `parameters`,
        `dense_bytes`, `bitmask_bytes`, `csr_bytes`, `compression_rate` and `space_saving` of all
        its parameters; `seconds` and `cpu_seconds` of the training, that before a restart included.

    Raises:
        ValueError: for an unknown preset or job, data that is missing, or a checkpoint that is
            damaged or does not fit.
    """
    chosen = cnn_presets.find(preset)
    if all((job.key, job.options) != (own.key, own.options) for own in jobs(preset, seed)):
        raise ValueError(f"`job` must be of the preset {preset!r} and its seed. Received: {job}")
    images = images_of(chosen, data_dir, load)
    keras.utils.set_random_seed(seed)
    own = {} if chosen.momentum is None else {"momentum": chosen.momentum}
    model = models.build(
        job.options["model"], input_shape=images.input_shape, classes=images.classes, **own
    )
    total = images.steps * chosen.epochs
    own_callbacks: list[keras.callbacks.Callback] = []
    if job.sparsity:
        model = tfprune.prune(
            model,
            _schedule(chosen, job.sparsity, total),
            structure=tfprune.structures_for("size"),
        )
        own_callbacks.append(tfprune.UpdatePruningStep())
    decay = keras.optimizers.schedules.CosineDecay(chosen.learning_rate, total)
    model.compile(keras.optimizers.Adam(decay), _loss())
    checkpoint = Checkpoint(_path(job, preset, checkpoint_dir), {**job.key, **job.options})
    done = checkpoint.restore(model) // images.steps
    for epoch in range(done, chosen.epochs):
        model.fit(
            images.epoch(seed, epoch),
            epochs=epoch + 1,
            initial_epoch=epoch,
            steps_per_epoch=images.steps,
            shuffle=False,
            verbose=0,
            callbacks=[*own_callbacks, *callbacks, checkpoint],
        )
    plain = tfprune.strip_pruning(model) if job.sparsity else model
    plain.compile(loss=_loss(), metrics=["accuracy"])
    return {
        "accuracy": float(plain.evaluate(images.test(), verbose=0, return_dict=True)["accuracy"]),
        **_footprint(plain),
        "seconds": round(checkpoint.seconds, 2),
        "cpu_seconds": round(checkpoint.cpu_seconds, 2),
    }


def _schedule(preset: Preset, sparsity: float, total: int) -> tfprune.PolynomialDecay:
    begin, end = round(preset.begin * total), round(preset.end * total)
    return tfprune.PolynomialDecay(
        0.0,
        sparsity,
        begin_step=begin,
        end_step=max(end, begin + 1),
        frequency=max(1, (end - begin) // preset.updates),
    )


def _loss() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _footprint(model: keras.Model) -> dict[str, Any]:
    found = tfprune.report(model, verbose=False).parameters.to_dict()
    names = ("nonzeros", "dense_bytes", "bitmask_bytes", "csr_bytes")
    names += ("compression_rate", "space_saving")
    return {"parameters": found["size"], **{name: found[name] for name in names}}


def _path(job: Job, preset: str, folder: str | os.PathLike[str] | None) -> Path | None:
    name = f"cnn-{preset}-{job.method}-{job.sparsity:g}-{job.seed}.npz"
    return None if folder is None else Path(folder) / name
