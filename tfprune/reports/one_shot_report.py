"""What one-shot pruning did to the loss, stage by stage, and to the number of parameters."""

import dataclasses
import math

from tfprune.reports import measures
from tfprune.reports.pages import page_style

_HEADINGS = ("stage", "sparsity", "loss before", "predicted change", "measured change")


@dataclasses.dataclass(frozen=True)
class StageResult:
    """One round of scoring and removal.

    Attributes:
        sparsity: asked for after this stage, fraction in [0, 1).
        loss_before: mean loss over the examples before it; None if it was not measured.
        predicted_change: of the mean loss, by the scorer's own model of it; None if it has none.
        loss_after: mean loss after removal and weight update, before statistics are refreshed;
            None if it was not measured.
    """

    sparsity: float
    loss_before: float | None
    predicted_change: float | None
    loss_after: float | None

    @property
    def measured_change(self) -> float | None:
        """Change of the mean loss over the examples; None if it was not measured."""
        if self.loss_after is None or self.loss_before is None:
            return None
        return self.loss_after - self.loss_before


@dataclasses.dataclass(frozen=True, repr=False)
class OneShotReport:
    """The stages of one-shot pruning.

    Attributes:
        scorer: name of the scorer's class.
        examples: number of examples that scores and losses are means over; 0 without data.
        batch_norm_examples: number that refreshed the batch normalizations; 0 if none were.
        stages: one result a stage.
        loss_after: mean loss at the end, refreshed if asked for; None if it was not measured.
        parameters: number of parameters of the whole model.
        nonzeros: number of them that are neither zero nor masked at the end.

    Example:
        >>> result = OneShotReport("Fisher", 64, 0, (StageResult(0.5, 1.0, 0.1, 1.2),), 1.2, 80, 40)
        >>> print(result)
        Fisher, 64 examples
        stage  sparsity  loss before  predicted change  measured change
            1    0.5000            1               0.1              0.2
        loss at the end: 1.2
        parameters: 80, of which 40 are not zero: compression rate 2.00, space saving 50.00%
        speed-up: not measured, ...
    """

    scorer: str
    examples: int
    batch_norm_examples: int
    stages: tuple[StageResult, ...]
    loss_after: float | None
    parameters: int
    nonzeros: int

    @property
    def compression_rate(self) -> float:
        """Parameters / nonzero parameters; infinity if every one is zero."""
        return measures.compression_rate(self.parameters, self.nonzeros)

    @property
    def space_saving(self) -> float:
        """1 - nonzero parameters / parameters."""
        return measures.space_saving(self.parameters, self.nonzeros)

    def to_dict(self) -> dict[str, object]:
        """Return everything as plain values, for JSON, with the formulas behind the measures."""
        data = dataclasses.asdict(self)
        for row, stage in zip(data["stages"], self.stages):
            row["measured_change"] = stage.measured_change
        rate = self.compression_rate
        return data | {
            "compression_rate": rate if math.isfinite(rate) else None,
            "space_saving": self.space_saving,
            "speed_up": None,
            "formulas": {
                **measures.formulas("parameters of the model", "its nonzero parameters"),
                "speed_up": measures.NOT_TIMED,
            },
        }

    def __repr__(self) -> str:
        return (
            f"<OneShotReport: {self._title()}, stages: {len(self.stages)}, "
            f"{self.nonzeros:,} of {self.parameters:,} parameters left>"
        )

    def _repr_html_(self) -> str:
        rows = [self._cells(number) for number in range(len(self.stages))]
        return page_style.fragment(self._title(), (), _HEADINGS, rows, self._remarks())

    def __str__(self) -> str:
        lines = [self._title(), "  ".join(_HEADINGS)]
        for number in range(len(self.stages)):
            cells = zip(self._cells(number), _HEADINGS)
            lines.append("  ".join(f"{cell:>{len(heading)}}" for cell, heading in cells))
        return "\n".join([*lines, *self._remarks()])

    def _title(self) -> str:
        return f"{self.scorer}, {self.examples:,} examples"

    def _cells(self, number: int) -> tuple[str, ...]:
        stage = self.stages[number]
        losses = (stage.loss_before, stage.predicted_change, stage.measured_change)
        return (f"{number + 1}", f"{stage.sparsity:.4f}", *map(_shown, losses))

    def _remarks(self) -> list[str]:
        refreshed = self.batch_norm_examples
        how = f" (batch normalization refreshed on {refreshed:,} examples)" if refreshed else ""
        loss = "not measured" if self.loss_after is None else _shown(self.loss_after)
        return [
            f"loss at the end{how}: {loss}",
            f"parameters: {self.parameters:,}, of which {self.nonzeros:,} are not zero: "
            f"compression rate {self.compression_rate:.2f}, space saving {self.space_saving:.2%}",
            f"speed-up: {measures.NOT_TIMED}",
        ]


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
