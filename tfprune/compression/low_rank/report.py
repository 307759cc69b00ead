"""What factorizing did to every layer of a model, and to the model."""

import dataclasses

from tfprune.channels.kept import Cost as Whole
from tfprune.compression.low_rank.forms import Cost
from tfprune.compression.low_rank.matrices import Ranks
from tfprune.reports import measures
from tfprune.reports.pages import page_style
from tfprune.reports.tables import plain_text, table

_HEADINGS = (
    "layer",
    "method",
    "rank",
    "of",
    "parameters",
    "left",
    "multiply-adds",
    "left",
    "error",
    "remark",
)
_TEXTS = 2


@dataclasses.dataclass(frozen=True)
class LayerFactors:
    """What became of one layer.

    Attributes:
        layer: its name.
        method: "SVD", "spatial SVD", "channel SVD" or "Tucker-2"; None if it stays.
        ranks: of the factors, one number or two; None if it stays.
        full: the largest ranks; None if it cannot be factorized.
        before: cost of its kernel (of all its kernels, if it stays), biases not counted.
        after: cost of the factors.
        error: relative error of its outputs on the data, of its weights without data: the norm of
            the difference over the norm; None if it stays.
        remark: why it stays, or what of it does.
    """

    layer: str
    method: str | None
    ranks: Ranks | None
    full: Ranks | None
    before: Cost
    after: Cost
    error: float | None
    remark: str = ""


@dataclasses.dataclass(frozen=True, repr=False)
class FactorizationReport:
    """What `tfprune.factorize` did; its second result.

    Attributes:
        model: name of the model.
        layers: one entry a layer with kernels.
        before: parameters and multiply-adds of the whole model; lengths that it leaves open count
            as 1.
        after: those of the factorized model.
        examples: number that the outputs were measured on; 0 without data.
    """

    model: str
    layers: tuple[LayerFactors, ...]
    before: Whole
    after: Whole
    examples: int

    @property
    def parameters(self) -> int:
        """Parameters of the factorized model."""
        return self.after.parameters

    @property
    def macs(self) -> int:
        """Multiply-adds of the factorized model."""
        return self.after.multiply_adds

    @property
    def compression_rate(self) -> float:
        """Parameters of the model / parameters of the factorized one."""
        return measures.compression_rate(self.before.parameters, self.after.parameters)

    def to_dict(self) -> dict[str, object]:
        """Return everything as plain values, for JSON."""
        formulas = measures.formulas("parameters", "parameters of the factorized model")
        return {
            **dataclasses.asdict(self),
            "compression_rate": self.compression_rate,
            "speed_up": None,
            "formulas": {
                "compression_rate": formulas["compression_rate"],
                "speed_up": measures.NOT_TIMED,
            },
        }

    def table(self) -> str:
        """Return every layer, and the totals, as text."""
        rows = [self._row(layer) for layer in self.layers]
        text = plain_text(table(_HEADINGS, rows, texts=_TEXTS))
        return "\n".join([text.rstrip(), *self._remarks()])

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"<FactorizationReport of '{self.model}': {self._totals()}>"

    def _repr_html_(self) -> str:
        rows = [self._row(layer) for layer in self.layers]
        title = f"Factors of '{self.model}'"
        return page_style.fragment(title, (), _HEADINGS, rows, self._remarks())

    def _row(self, layer: LayerFactors) -> tuple[str, ...]:
        return (
            layer.layer,
            layer.method or "-",
            _shown(layer.ranks),
            _shown(layer.full),
            f"{layer.before.parameters:,}",
            f"{layer.after.parameters:,}",
            f"{layer.before.macs:,}",
            f"{layer.after.macs:,}",
            "-" if layer.error is None else f"{layer.error:.3f}",
            layer.remark,
        )

    def _totals(self) -> str:
        before, after = self.before, self.after
        changed = sum(layer.method is not None for layer in self.layers)
        return (
            f"{changed} of {len(self.layers)} layers in factors, parameters "
            f"{before.parameters:,} -> {after.parameters:,} "
            f"({after.parameters / max(1, before.parameters):.0%}), multiply-adds "
            f"{before.multiply_adds:,} -> {after.multiply_adds:,} "
            f"({after.multiply_adds / max(1, before.multiply_adds):.0%})"
        )

    def _remarks(self) -> list[str]:
        of = f"outputs on {self.examples:,} examples" if self.examples else "weights"
        return [
            self._totals(),
            f"error: what is lost of a layer's {of}, relative, before any training",
            f"speed-up: {measures.NOT_TIMED}",
        ]


def _shown(ranks: Ranks | None) -> str:
    return "-" if ranks is None else ", ".join(map(str, ranks))
