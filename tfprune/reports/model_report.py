"""What is reported of a model, and its views: printed, as a table, as plain values, as a page."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import keras

from tfprune.reports import tables, verdict
from tfprune.reports.pages import model_page, page_style
from tfprune.reports.parts import SkippedLayer, WeightReport
from tfprune.reports.totals import FORMULAS, Totals
from tfprune.support.validation import require_one_of

if TYPE_CHECKING:
    from rich.console import Group

_SHOWN = 10  # weights in what is printed
_DRAWN = 8  # weights whose values and masks a page shows


@dataclasses.dataclass(frozen=True, repr=False)
class Report:
    """What `tfprune.report` found; `print` shows the verdict first, `.table()` has everything.

    Attributes:
        model: name of the model.
        weights: its prunable weights, in the order of its layers.
        skipped: its other layers.
        prunable: totals over the prunable weights.
        parameters: totals over all weights of the model, trainable or not.
        asked: sparsity that its schedules end at, over the weights that have one; None if none has.
        shortfall: what its masks lack of that, in words; empty if nothing.
    """

    model: str
    weights: tuple[WeightReport, ...]
    skipped: tuple[SkippedLayer, ...]
    prunable: Totals
    parameters: Totals
    asked: float | None = None
    shortfall: str = ""

    @property
    def notable_skips(self) -> tuple[SkippedLayer, ...]:
        """The skipped layers that have weights: those that a reader may have expected pruned."""
        return tuple(skip for skip in self.skipped if skip.parameters)

    def to_dict(self) -> dict[str, object]:
        """Return the report as plain values, ready for JSON, with the formulas behind them.

        `speed_up` is None: nothing is timed here.
        """
        return {
            "model": self.model,
            "weights": [weight.to_dict() for weight in self.weights],
            "skipped": [dataclasses.asdict(skip) for skip in self.skipped],
            "prunable": self.prunable.to_dict(),
            "parameters": self.parameters.to_dict(),
            "asked": self.asked,
            "shortfall": self.shortfall,
            "speed_up": None,
            "formulas": dict(FORMULAS),
        }

    def to_html(
        self,
        path: str | os.PathLike[str],
        *,
        history: keras.callbacks.History | Mapping[str, Sequence[float]] | None = None,
        layers: Sequence[str] | None = None,
    ) -> None:
        """Write the report, with pictures, as one HTML file that needs no other.

        Args:
            path: file to write, in a directory that exists; replaced if it exists.
            history: what `fit` returned, or its `history`: draws sparsity and metrics over epochs.
            layers: names of layers whose values and masks are drawn; None draws those of the
                eight largest weights.

        Raises:
            TypeError: if `history` is neither, or `layers` holds no names.
            ValueError: if a layer has no prunable weight, or the file cannot be written; an older
                one is left as it was.
        """
        page_style.write_page(
            path,
            model_page.page(
                self.model,
                self.weights,
                self.notable_skips,
                self.prunable,
                self.parameters,
                remarks=verdict.remark_lines(self.weights, (), self.shortfall),
                drawn=self._drawn(layers),
                history=_epochs(history),
            ),
        )

    def _drawn(self, layers: Sequence[str] | None) -> list[WeightReport]:
        if layers is None:
            return verdict.largest(self.weights, _DRAWN)
        if isinstance(layers, str) or not isinstance(layers, Sequence):
            raise TypeError(f"`layers` must be a list of names. Received: layers={layers!r}.")
        known = list(dict.fromkeys(weight.layer for weight in self.weights))
        for name in layers:
            require_one_of("layers", name, known)
        return [weight for weight in self.weights if weight.layer in layers]

    def table(self) -> str:
        """Return every weight, every total and every layer with nothing to prune, as text."""
        return tables.plain_text(
            tables.full_tables(
                self.model, self.weights, self.notable_skips, self.prunable, self.parameters
            )
        )

    def __repr__(self) -> str:
        return (
            f"<Report of '{self.model}': {len(self.weights)} prunable weights, "
            f"{self.prunable.sparsity:.2%} sparse>"
        )

    def _repr_html_(self) -> str:
        shown = verdict.largest(self.weights, _SHOWN)
        headings, rows = tables.weight_rows(shown)
        return page_style.fragment(
            f"Model '{self.model}'", self._verdict(), headings, rows, self._remarks()
        )

    def __str__(self) -> str:
        return tables.plain_text(self.__rich__())

    def __rich__(self) -> "Group":
        shown = verdict.largest(self.weights, _SHOWN)
        left_out = len(self.weights) - len(shown)
        return tables.short_table(
            f"Model '{self.model}'",
            self._verdict(),
            tables.weight_table(shown),
            self._remarks(),
            f"{left_out} smaller weights are not shown. " if left_out else "",
        )

    def _verdict(self) -> list[tuple[str, str]]:
        return verdict.verdict_lines(
            self.weights, self.prunable, self.parameters, self.asked, self.shortfall
        )

    def _remarks(self) -> list[str]:
        return verdict.remark_lines(self.weights, self.notable_skips, self.shortfall)


def _epochs(history: object) -> Mapping[str, Sequence[float]]:
    """The values after each epoch of what `to_html` was given."""
    found = {} if history is None else getattr(history, "history", history)
    if not isinstance(found, Mapping):
        raise TypeError(
            "`history` must be what fit returns, or its `history`. "
            f"Received: history={history!r} (of type {type(history).__name__})."
        )
    return found
