"""What the families of the comparison have in common: which runs, how each is pruned and measured.

    find, variants, cases           a preset by its name; others made of it; its runs
    pruning_options                 what jobs say about pruning
    require_own                     a run belongs to its preset
    pruned, checkpoint_path         before the training
    footprint                       after it
"""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import keras

import tfprune
from results_file import Job

_Preset = TypeVar("_Preset")
_Size = TypeVar("_Size")


class Pruning(Protocol):
    """When the sparsity rises (fractions of the steps), mask updates between, what stays dense."""

    @property
    def begin(self) -> float: ...

    @property
    def end(self) -> float: ...

    @property
    def updates(self) -> int: ...

    @property
    def left_out(self) -> tuple[str, ...]: ...


def find(presets: Mapping[str, _Preset], name: str) -> _Preset:
    """Return a preset.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in presets:
        raise ValueError(f"`preset` must be one of {', '.join(presets)}. Received: preset={name!r}")
    return presets[name]


def cases(
    dense: Sequence[_Size], pruned: Sequence[_Size], sparsities: Sequence[float]
) -> list[tuple[str, _Size, float]]:
    """Return kind, size and sparsity of every run of one seed, dense ones first.

    Example:
        >>> cases([8, 16], [16], [0.9])
        [('dense', 8, 0.0), ('dense', 16, 0.0), ('pruned', 16, 0.9)]
    """
    return [("dense", size, 0.0) for size in dense] + [
        ("pruned", size, sparsity) for size in pruned for sparsity in sparsities
    ]


def variants(preset: _Preset, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, _Preset]:
    """Return name -> the preset, a dataclass, with some of its fields changed."""
    return {name: dataclasses.replace(preset, **fields) for name, fields in changes.items()}


def pruning_options(preset: Pruning) -> dict[str, Any]:
    """Return what a preset says about pruning, as plain values for a job's options."""
    options = {name: getattr(preset, name) for name in ("begin", "end", "updates")}
    return {**options, **({"left_out": list(preset.left_out)} if preset.left_out else {})}


def require_own(job: Job, preset: str, jobs: Callable[[str, int], list[Job]]) -> None:
    """Require a job to be one of its preset and seed, options included.

    Raises:
        ValueError: if it is not.
    """
    if all((job.key, job.options) != (own.key, own.options) for own in jobs(preset, job.seed)):
        raise ValueError(f"`job` must be of the preset {preset!r} and its seed. Received: {job}")


def pruned(
    model: keras.Model, preset: Pruning, sparsity: float, steps: int, **options: Any
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


def schedule(preset: Pruning, sparsity: float, steps: int) -> tfprune.PolynomialDecay:
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
