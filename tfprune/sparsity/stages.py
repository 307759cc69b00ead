"""Stages: the schedule of one-shot pruning, whose steps are rounds of scoring and removal."""

import dataclasses
from collections.abc import Sequence

import keras

from tfprune.support.configurable import Configurable
from tfprune.support.validation import require_integer, require_one_of, require_sparsity

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
        stages: n, integer >= 1; or the sparsities after each stage, rising and ending at s.
        spacing: "geometric" or "linear"; of no effect on stages that are listed.

    Raises:
        TypeError, ValueError: if an argument is out of its range.

    Source: Singh & Alistarh, "WoodFisher", NeurIPS 2020 (arXiv 2004.14340), recompute the Fisher
    between removals; the spacing is ours.

    Example:
        >>> [round(Stages(0.75, 2)(i), 3) for i in range(3)]
        [0.0, 0.5, 0.75]
        >>> Stages(0.9, (0.5, 0.8, 0.9))(2)
        0.8
    """

    final_sparsity: float
    stages: int | Sequence[float] = 1
    spacing: str = "geometric"

    def __post_init__(self) -> None:
        require_sparsity("sparsity", self.final_sparsity)
        require_one_of("spacing", self.spacing, SPACINGS)
        if not isinstance(self.stages, Sequence) or isinstance(self.stages, str):
            count = require_integer("stages", self.stages, minimum=1)
            object.__setattr__(self, "stages", count)  # an int, if it was one of NumPy's
            return
        listed = tuple(require_sparsity("stages", value) for value in self.stages)
        object.__setattr__(self, "stages", listed)  # a saved model has a list
        rising = all(later > earlier for earlier, later in zip(listed, listed[1:]))
        if not listed or not rising or listed[-1] != self.final_sparsity:
            raise ValueError(
                f"`stages` must be a number, or sparsities that rise to {self.final_sparsity}. "
                f"Received: stages={listed}."
            )

    @property
    def count(self) -> int:
        """n, the number of stages."""
        return self.stages if isinstance(self.stages, int) else len(self.stages)

    def __call__(self, step: int) -> float:
        if step >= self.count:
            return self.final_sparsity  # exactly, whatever rounding does
        if step <= 0:
            return 0.0
        if not isinstance(self.stages, int):
            return self.stages[step - 1]
        done = step / self.stages
        if self.spacing == "linear":
            return self.final_sparsity * done
        return 1.0 - (1.0 - self.final_sparsity) ** done

    def next_update(self, step: int) -> int | None:
        return max(1, step + 1) if step < self.count else None

    def with_final_sparsity(self, sparsity: float) -> "Stages":
        """Return the same stages up to another final sparsity."""
        stages = self.stages
        if not isinstance(stages, int):
            scale = sparsity / self.final_sparsity
            stages = (*(value * scale for value in stages[:-1]), sparsity)
        return dataclasses.replace(self, final_sparsity=sparsity, stages=stages)
