"""The result of sensitivity analysis: a table of losses, and its picture."""

import dataclasses
import itertools
import os
import re

import numpy as np

from tfprune.reports import sensitivity_plot
from tfprune.reports.pages import page_style
from tfprune.reports.tables import plain_text, table
from tfprune.support.files import replacing
from tfprune.support.validation import require_number, require_one_of


@dataclasses.dataclass(frozen=True, repr=False)
class Sensitivity:
    """The mean loss with one weight pruned and all others dense.

    Attributes:
        model: name of the model.
        scorer: name of the scorer's class.
        examples: number of examples that scores and losses are means over.
        dense_loss: mean loss of the model as it was given.
        losses: path of the weight -> sparsity, ascending -> mean loss; paths in the model's order.
        measured: "loss", or the name of the metric that stands in its place.

    Example:
        >>> losses = {"a/kernel": {0.5: 1.25, 0.9: 1.5}, "b/kernel": {0.5: 2.0, 0.9: 4.0}}
        >>> print(Sensitivity("m", "Magnitude", 64, 1.0, losses))
        Sensitivity of 'm' to pruning one weight alone: Magnitude, 64 examples, dense loss 1
        <BLANKLINE>
        loss - dense loss at    50%   90%    mean
        ...
        b/kernel                  1     3       2
        a/kernel               0.25   0.5   0.375
    """

    model: str
    scorer: str
    examples: int
    dense_loss: float
    losses: dict[str, dict[float, float]]
    measured: str = "loss"

    @property
    def sparsities(self) -> list[float]:
        """The sparsities, ascending."""
        return list(next(iter(self.losses.values())))

    def increases(self, path: str) -> list[float]:
        """Return loss - dense loss of a weight, one value for each of the sparsities.

        Raises:
            ValueError: if there is no weight of this path.
        """
        losses = self.losses[require_one_of("path", path, self.losses)]
        return [loss - self.dense_loss for loss in losses.values()]

    def mean_increase(self, path: str) -> float:
        """Return the mean of `increases(path)`: how sensitive the loss is to this weight."""
        return float(np.mean(self.increases(path)))

    def ranking(self) -> list[str]:
        """Return the paths, largest mean increase first; among equals in the model's order."""
        return sorted(self.losses, key=self.mean_increase, reverse=True)

    def rules(self, tolerance: float = 0.01) -> list[tuple[str, float | None]]:
        """Return rules for `tfprune.prune` that prune each weight as far as it bears alone.

        Each weight gets the largest of the sparsities up to which no increase was above the
        tolerance, None (it stays dense) where there is none. Pruned together, weights cost more
        than each of them alone: take less than the loss that you can bear, and train on.

        Args:
            tolerance: largest increase of the loss by one weight, >= 0.

        Raises:
            TypeError, ValueError: if `tolerance` is no number, or negative.

        Example:
            >>> losses = {"a/kernel": {0.5: 1.25, 0.9: 1.5}, "b/kernel": {0.5: 2.0, 0.9: 4.0}}
            >>> Sensitivity("m", "Magnitude", 64, 1.0, losses).rules(0.3)
            [('a/kernel', 0.5), ('b/kernel', None)]
        """
        require_number("tolerance", tolerance, minimum=0.0)
        found: list[tuple[str, float | None]] = []
        for path, losses in self.losses.items():
            borne = itertools.takewhile(
                lambda pair: pair[1] - self.dense_loss <= tolerance, losses.items()
            )
            largest = max((sparsity for sparsity, _ in borne), default=0.0)
            found.append((re.escape(path), largest or None))
        return found

    def to_dict(self) -> dict[str, object]:
        """Return everything as plain values, for JSON; weights in the model's order."""
        weights = [
            {
                "path": path,
                "losses": list(by_sparsity.values()),
                "mean_increase": self.mean_increase(path),
            }
            for path, by_sparsity in self.losses.items()
        ]
        return {
            "model": self.model,
            "scorer": self.scorer,
            "examples": self.examples,
            "measured": self.measured,
            "dense_loss": self.dense_loss,
            "sparsities": self.sparsities,
            "weights": weights,
        }

    def plot(self) -> bytes:
        """Return a PNG picture: one line a weight, or a heat map where there are many."""
        title = (
            f"{self.model}: one weight alone pruned by {self.scorer}\n"
            f"dense {self.measured} {self.dense_loss:.4g}, {self.examples:,} examples"
        )
        increases = {path: self.increases(path) for path in self.losses}
        return sensitivity_plot.draw(title, increases, self.sparsities, self.ranking())

    def save_plot(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a file, whole or not at all.

        Args:
            path: name of the file, in a directory that exists.

        Raises:
            ValueError: if the file cannot be written.
        """
        with replacing(path) as new, open(new, "wb") as file:
            file.write(self.plot())

    def __repr__(self) -> str:
        return (
            f"<Sensitivity of '{self.model}': {self.scorer}, {len(self.losses)} weights at "
            f"{len(self.sparsities)} sparsities>"
        )

    def _repr_html_(self) -> str:
        return page_style.fragment(self._title(), (), *self._cells())

    def __str__(self) -> str:
        return f"{self._title()}\n\n{plain_text(table(*self._cells()))}"

    def _title(self) -> str:
        return (
            f"Sensitivity of '{self.model}' to pruning one weight alone: {self.scorer}, "
            f"{self.examples:,} examples, dense {self.measured} {self.dense_loss:.4g}"
        )

    def _cells(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Headings and rows of the table."""
        sparsities = [f"{100 * sparsity:.4g}%" for sparsity in self.sparsities]
        first = f"{self.measured} - dense {self.measured} at"
        rows = [
            (path, *(f"{v:.4g}" for v in (*self.increases(path), self.mean_increase(path))))
            for path in self.ranking()
        ]
        return (first, *sparsities, "mean"), rows
