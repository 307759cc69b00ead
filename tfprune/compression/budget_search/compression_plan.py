"""What `tfprune.compress` decided, and what came of it."""

import dataclasses
from collections.abc import Mapping, Sequence

from tfprune.compression.budget_search.options import Option
from tfprune.reports import measures
from tfprune.reports.pages import page_style
from tfprune.reports.tables import plain_text, table

_ADDED = {"outputs": "change on top", "loss": "loss on top"}
_TEXTS = 3
_NAMED = 5  # weights that are left out
_UNITS = {
    "bytes": "bytes of the file",
    "gzip_bytes": "bytes of the file after gzip",
    "macs": "multiply-adds",
    "latency_ms": "milliseconds in LiteRT, 1 thread",
    "arena": "bytes of arena",
}


@dataclasses.dataclass(frozen=True)
class WeightDecision:
    """What one weight becomes.

    Attributes:
        weight: its path.
        shape: of it, once channels are removed.
        option: what is done.
    """

    weight: str
    shape: tuple[int, ...]
    option: Option


@dataclasses.dataclass(frozen=True)
class Tried:
    """One way to meet the budget.

    Attributes:
        what: in words.
        predicted: what was expected of the plan's measure.
        measured: the same with the weights as in the file; None if it was not built.
    """

    what: str
    predicted: float
    measured: float | None = None


@dataclasses.dataclass(frozen=True, repr=False)
class CompressionPlan:
    """What `tfprune.compress` did; its second result.

    Attributes:
        model: name of the model.
        target: of the file, for `tfprune.export.to_tflite`.
        quantize: the same.
        channels: multiply-adds that removed channels leave, as a fraction; 1 where none go.
        weights: what each weight becomes; where factors of one become something in turn, its rank
            stands first, and its factors with the other weights.
        budget: name -> the most it may cost.
        before: name -> what the original costs, as a float32 file.
        after: name -> what was measured of the compressed model; empty before it is built.
        loss_before: mean loss of the original on the examples that are held out.
        loss_after: loss of the compressed model with weights as in the file, before any training;
            None before it is built.
        measure: what the search keeps low, "loss" or "outputs": their mean squared change.
        predicted: how much of it was expected, before any training.
        measured: how much there is, with weights as in the file; None before it is built.
        examples: number that losses were measured on, and nothing else was fitted to.
        tried: the ways that were compared, the best prediction first, and then those that were
            chosen anew.
        left_out: in words, the weights that nothing was tried on, and why, but for those of rules.
        is_plain: whether no weight has zeros or few values to keep, so that there is nothing to
            strip.
    """

    model: str
    target: str
    quantize: str | None
    channels: float
    weights: tuple[WeightDecision, ...]
    budget: Mapping[str, float]
    before: Mapping[str, float]
    after: Mapping[str, float]
    loss_before: float
    loss_after: float | None
    measure: str
    predicted: float
    measured: float | None
    examples: int
    tried: tuple[Tried, ...] = ()
    left_out: tuple[str, ...] = ()
    is_plain: bool = False

    @property
    def compression_rates(self) -> dict[str, float]:
        """Budget -> what the original costs / what the compressed model does."""
        return {
            name: measures.compression_rate(self.before[name], cost)
            for name, cost in self.after.items()
        }

    def to_dict(self) -> dict[str, object]:
        """Return everything as plain values, for JSON."""
        return {**dataclasses.asdict(self), "compression_rates": self.compression_rates}

    def table(self) -> str:
        """Return every weight, and the totals, as text."""
        text = plain_text(table(self._headings, self._rows(), texts=_TEXTS))
        return "\n".join([text.rstrip(), *self._remarks()])

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"<CompressionPlan of '{self.model}': {'; '.join(self._costs())}>"

    def _repr_html_(self) -> str:
        title = f"Compression of '{self.model}'"
        return page_style.fragment(title, (), self._headings, self._rows(), self._remarks())

    @property
    def _headings(self) -> Sequence[str]:
        return "weight", "shape", "becomes", _ADDED[self.measure]

    def _rows(self) -> list[Sequence[str]]:
        return [
            (
                each.weight,
                " x ".join(map(str, each.shape)),
                each.option.in_words,
                f"{each.option.loss:.3g}",
            )
            for each in self.weights
        ]

    def _costs(self) -> list[str]:
        found = []
        for name, most in self.budget.items():
            reached = f" -> {self.after[name]:,.6g}" if name in self.after else ""
            found.append(f"{_UNITS[name]}: {self.before[name]:,.6g}{reached}, at most {most:,.6g}")
        return found

    def _remarks(self) -> list[str]:
        after = "" if self.measured is None else f", measured {self.measured:.4g}"
        loss = "" if self.loss_after is None else f" -> {self.loss_after:.4g}"
        what = "loss" if self.measure == "loss" else "mean squared change of the outputs"
        cut = f"channels: {self.channels:.0%} of the multiply-adds are left; " * (self.channels < 1)
        more = f"; and {len(self.left_out) - _NAMED} more" * (len(self.left_out) > _NAMED)
        left = [f"without zeros, factors and few values: {'; '.join(self.left_out[:_NAMED])}{more}"]
        return [
            *(left if self.left_out else ()),
            f"{cut}file: target={self.target!r}, quantize={self.quantize!r}",
            *self._costs(),
            f"{what} on {self.examples:,} examples held out: expected {self.predicted:.4g}{after}",
            f"loss on them: {self.loss_before:.4g}{loss}, before any training",
        ]
