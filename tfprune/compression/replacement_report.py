"""What became of every layer of a model, some of which others stand for."""

import dataclasses

from tfprune.reports import measures
from tfprune.reports.pages import page_style
from tfprune.reports.tables import plain_text, table

_HEADINGS = ("layer", "in its place", "numbers", "left", "error", "remark")
_TEXTS = 2


@dataclasses.dataclass(frozen=True)
class LayerReplacement:
    """What became of one layer.

    Attributes:
        layer: its name.
        by: what stands for it, with sizes; None if it stays.
        before: numbers in its kernels.
        after: numbers in what is in their place.
        error: |difference| / |kernel| in the Frobenius norm; None if it stays.
        remark: why it stays.
    """

    layer: str
    by: str | None
    before: int
    after: int
    error: float | None
    remark: str = ""


@dataclasses.dataclass(frozen=True, repr=False)
class ReplacementReport:
    """What `tfprune.restructure` or `tfprune.compact_filters` did; their second result.

    Attributes:
        model: name of the model.
        layers: one entry a layer with kernels.
        before: parameters of the model.
        after: those of the new one.
    """

    model: str
    layers: tuple[LayerReplacement, ...]
    before: int
    after: int

    @property
    def compression_rate(self) -> float:
        """Parameters of the model / parameters of the new one."""
        return measures.compression_rate(self.before, self.after)

    def to_dict(self) -> dict[str, object]:
        """Return everything as plain values, for JSON."""
        return {**dataclasses.asdict(self), "compression_rate": self.compression_rate}

    def table(self) -> str:
        """Return every layer, and the totals, as text."""
        text = plain_text(table(_HEADINGS, [_row(layer) for layer in self.layers], texts=_TEXTS))
        return f"{text.rstrip()}\n{self._totals()}"

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"<ReplacementReport of '{self.model}': {self._totals()}>"

    def _repr_html_(self) -> str:
        rows = [_row(layer) for layer in self.layers]
        title = f"Layers of '{self.model}'"
        return page_style.fragment(title, (), _HEADINGS, rows, [self._totals()])

    def _totals(self) -> str:
        changed = sum(layer.by is not None for layer in self.layers)
        return (
            f"{changed} of {len(self.layers)} layers replaced, parameters {self.before:,} -> "
            f"{self.after:,} ({self.after / max(1, self.before):.0%})"
        )


def _row(layer: LayerReplacement) -> tuple[str, ...]:
    return (
        layer.layer,
        layer.by or "-",
        f"{layer.before:,}",
        f"{layer.after:,}",
        "-" if layer.error is None else f"{layer.error:.3f}",
        layer.remark,
    )
