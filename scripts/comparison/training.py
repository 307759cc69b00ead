"""What the trainings of the comparison's families have in common.

require_own                     a run belongs to its preset
pruned, checkpoint_path         before the training
footprint                       after it
has_gpu, leave_gpu_to_backend   where it runs
"""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

import tfprune
from scripts.comparison.presets import Preset
from scripts.lab.results_file import Job


def require_own(job: Job, preset: str, jobs: Sequence[Job]) -> None:
    """Require a job to be one of its preset and seed, options included.

    Args:
        job: to be run.
        preset: its name.
        jobs: all of that preset and of the seed that the run will have.

    Raises:
        ValueError: if it is none of them.
    """
    if all((job.key, job.options) != (own.key, own.options) for own in jobs):
        raise ValueError(f"`job` must be of the preset {preset!r} and its seed. Received: {job}")


def pruned(
    model: keras.Model, preset: Preset, sparsity: float, steps: int, **options: Any
) -> tuple[keras.Model, list[keras.callbacks.Callback]]:
    """Return a model to train, and the callbacks that it needs.

    Args:
        model: uncompiled.
        preset: when the sparsity rises, and where.
        sparsity: at the end; 0 leaves the model as it is.
        steps: of the whole training.
        **options: of `tfprune.prune`.
    """
    if not sparsity:
        return model, []
    rising = schedule(preset, sparsity, steps)
    rules = [(path, None) for path in preset.left_out]
    return tfprune.prune(model, rising, rules=rules, **options), [tfprune.UpdatePruningStep()]


def schedule(preset: Preset, sparsity: float, steps: int) -> tfprune.PolynomialDecay:
    """Return the cubic schedule of Zhu & Gupta (arXiv 1710.01878) in a training of so many steps.

    Args:
        preset: when the sparsity rises.
        sparsity: at the end.
        steps: of the whole training.
    """
    begin, end = round(preset.begin * steps), round(preset.end * steps)
    return tfprune.PolynomialDecay(
        0.0,
        sparsity,
        begin_step=begin,
        end_step=max(end, begin + 1),
        frequency=max(1, (end - begin) // preset.updates),
    )


def footprint(model: keras.Model) -> dict[str, Any]:
    """Return parameters, nonzeros, bytes of three storages and the survey's measures of a model."""
    found = tfprune.report(model, verbose=False).parameters.to_dict()
    names = ("nonzeros", "dense_bytes", "bitmask_bytes", "csr_bytes")
    names += ("compression_rate", "space_saving")
    return {"parameters": found["size"], **{name: found[name] for name in names}}


def checkpoint_path(
    family: str, preset: str, job: Job, folder: str | os.PathLike[str] | None
) -> Path | None:
    """Return the file of a run's checkpoint, None without a folder."""
    name = f"{family}-{preset}-{job.method}-{job.sparsity:g}-{job.seed}.npz"
    return None if folder is None else Path(folder) / name


def has_gpu() -> bool:
    """Return whether the backend computes on a GPU, as far as Keras can see."""
    # Asked for "gpu", Keras raises on JAX where there is none.
    return any("gpu" in device for device in keras.distribution.list_devices())


def leave_gpu_to_backend() -> None:
    """Keep TensorFlow, if it reads the data, from taking a GPU's memory where JAX computes."""
    if keras.backend.backend() != "tensorflow" and importlib.util.find_spec("tensorflow"):
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")
