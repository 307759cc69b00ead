"""Presets of a family of the comparison: by name, and the runs that each stands for."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from scripts.lab.results_file import Job

_Size = TypeVar("_Size")


class Run(NamedTuple):
    """A training of one seed: what it is called, its sparsity and options, seconds on one core."""

    method: str
    sparsity: float
    options: dict[str, Any]
    seconds: float


@dataclasses.dataclass(frozen=True)
class Continuation:
    """How the largest dense model, which is trained already, is trained on while it is pruned.

    Attributes:
        epochs: over the training examples.
        learning_rate: at first.
        weights: file of the dense model's weights, in the folder of the data; None takes the
            preset's own dense run of the same seed.
        alpha: share that the dense model has as teacher in the loss, as of `tfprune.distill`; 0
            is without.
    """

    epochs: int
    learning_rate: float
    weights: str | None = None
    alpha: float = 0.0


class Preset(Protocol):
    """Which models are compared, how they are trained, and when and where they are pruned."""

    @property
    def begin(self) -> float: ...

    @property
    def end(self) -> float: ...

    @property
    def updates(self) -> int: ...

    @property
    def left_out(self) -> tuple[str, ...]: ...

    def runs(self) -> list[Run]: ...


class Presets(dict[str, Any]):
    """Name -> preset.

    Args:
        presets: a dataclass each.
        changes: name of a variant -> fields in which it differs from the preset "cpu". Variants
            are found by their name too, but are none of the dictionary's entries.

    Attributes:
        variants: name -> preset.
    """

    def __init__(self, presets: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]]):
        super().__init__(presets)
        self.variants = {
            name: dataclasses.replace(presets["cpu"], **fields) for name, fields in changes.items()
        }

    def find(self, name: str) -> Any:
        """Return a preset or a variant.

        Raises:
            ValueError: for an unknown name.
        """
        every = {**self, **self.variants}
        if name not in every:
            raise ValueError(
                f"`preset` must be one of {', '.join(every)}. Received: preset={name!r}"
            )
        return every[name]

    def jobs(self, name: str, seed: int) -> list[Job]:
        """Return the runs of one seed: every dense model, then the largest at every sparsity.

        Args:
            name: of a preset or variant.
            seed: of all that is random in them.

        Raises:
            ValueError: for an unknown name.
        """
        return [
            Job(run.method, run.sparsity, seed, run.options, run.seconds)
            for run in self.find(name).runs()
        ]

    def estimate(self, name: str, seeds: int = 1) -> float:
        """Return the seconds that all runs take on one CPU core.

        Args:
            name: of a preset or variant.
            seeds: how many.

        Raises:
            ValueError: for an unknown name.
        """
        return seeds * sum(run.seconds for run in self.find(name).runs())


def cases(
    dense: Sequence[_Size], pruned: Sequence[_Size], sparsities: Sequence[float]
) -> list[tuple[str, _Size, float]]:
    """Return kind, size and sparsity of every run, dense ones first.

    Example:
        >>> cases([8, 16], [16], [0.9])
        [('dense', 8, 0.0), ('dense', 16, 0.0), ('pruned', 16, 0.9)]
    """
    return [("dense", size, 0.0) for size in dense] + [
        ("pruned", size, sparsity) for size in pruned for sparsity in sparsities
    ]


def pruning_options(preset: Preset) -> dict[str, Any]:
    """Return when and where a preset prunes, as plain values for a run's options."""
    options = {name: getattr(preset, name) for name in ("begin", "end", "updates")}
    return {**options, **({"left_out": list(preset.left_out)} if preset.left_out else {})}
