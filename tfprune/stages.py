"""Stages: the schedule of one-shot pruning, whose steps are rounds of scoring and removal."""

import dataclasses

import keras

from tfprune.configurable import Configurable
from tfprune.validation import require_integer, require_one_of, require_sparsity

SPACINGS = ("geometric", "linear")


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class Stages(Configurable):
    """Sparsity after each of several rounds of removal, s the final one of n:

        geometric: 1 - (1 - s)^(i / n), the same share of what is left in every round
        linear:    s i / n, the same number of weights in every round

    Training that follows, whatever its length, makes no further update.

    Args:
        final_sparsity: s, fraction in [0, 1).
        stages: n, integer >= 1.
        spacing: "geometric" or "linear".

    Raises:
        TypeError, ValueError: if an argument is out of its range.

    Source: Singh & Alistarh, "WoodFisher", NeurIPS 2020 (arXiv 2004.14340), recompute the Fisher
    between removals; the spacing is ours.

    Example:
        >>> [round(Stages(0.75, 2)(i), 3) for i in range(3)]
        [0.0, 0.5, 0.75]
    """

    final_sparsity: float
    stages: int = 1
    spacing: str = "geometric"

    def __post_init__(self) -> None:
        require_sparsity("sparsity", self.final_sparsity)
        require_integer("stages", self.stages, minimum=1)
        require_one_of("spacing", self.spacing, SPACINGS)

    def __call__(self, step: int) -> float:
        if step >= self.stages:
            return self.final_sparsity  # exactly, whatever rounding does
        done = max(0, step) / self.stages
        if self.spacing == "linear":
            return self.final_sparsity * done
        return 1.0 - (1.0 - self.final_sparsity) ** done

    def next_update(self, step: int) -> int | None:
        return max(1, step + 1) if step < self.stages else None

    def with_final_sparsity(self, sparsity: float) -> "Stages":
        """Return the same stages up to another final sparsity."""
        return dataclasses.replace(self, final_sparsity=sparsity)
