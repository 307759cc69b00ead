"""The image family of the comparison: MobileNets or ResNets of several sizes, dense and pruned.

    jobs(preset, seed)                        the runs of one seed, dense ones first
    train(job, preset, seed, checkpoint_dir)  one of them; returns what came out
    estimate(preset, seeds)                   seconds on one CPU core

All models see the same images in the same order, mirrored alike. Convolutions and the
classifier are pruned, by one threshold over all of them or all to the same sparsity; the first
convolution and depthwise kernels, 1 to 2 % of the weights, stay dense, as in Zhu & Gupta (arXiv
1710.01878).
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import keras

import models
import tfprune
from scripts.comparison import training
from scripts.comparison.images.cnn_data import images_of
from scripts.comparison.images.cnn_presets import PRESETS, VARIANTS, Preset, estimate, find, jobs
from scripts.lab.checkpoints import Checkpoint
from scripts.lab.results_file import Job

__all__ = ["PRESETS", "VARIANTS", "Preset", "estimate", "jobs", "train"]


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
    chosen = find(preset)
    training.require_own(job, preset, jobs(preset, seed))
    images = images_of(chosen, data_dir, load)
    keras.utils.set_random_seed(seed)
    own = {name: job.options.get(name) for name in ("momentum", "width")}
    model = models.build(
        job.options["model"],
        input_shape=images.input_shape,
        classes=images.classes,
        **{name: value for name, value in own.items() if value is not None},
    )
    total = images.steps * chosen.epochs
    model, pruning = training.pruned(
        model,
        chosen,
        job.sparsity,
        total,
        structure=tfprune.structures_for("size"),
        distribution=chosen.distribution,
    )
    decay = keras.optimizers.schedules.CosineDecay(chosen.learning_rate, total)
    model.compile(keras.optimizers.Adam(decay), _loss())
    checkpoint = Checkpoint(
        training.checkpoint_path("cnn", preset, job, checkpoint_dir),
        {**job.key, **job.options},
    )
    done = checkpoint.restore(model) // images.steps
    with images.naming_damage():
        for epoch in range(done, chosen.epochs):
            model.fit(
                images.epoch(seed, epoch),
                epochs=epoch + 1,
                initial_epoch=epoch,
                steps_per_epoch=images.steps,
                shuffle=False,
                verbose=0,
                callbacks=[*pruning, *callbacks, checkpoint],
            )
        plain = tfprune.strip_pruning(model) if job.sparsity else model
        plain.compile(loss=_loss(), metrics=["accuracy"])
        found = plain.evaluate(images.test(), verbose=0, return_dict=True)
    return {
        "accuracy": float(found["accuracy"]),
        **training.footprint(plain),
        "seconds": round(checkpoint.seconds, 2),
        "cpu_seconds": round(checkpoint.cpu_seconds, 2),
    }


def _loss() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
