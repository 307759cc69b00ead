"""Sums over the weights of a model, and the measures that follow from them."""

import dataclasses
import math

from tfprune.reports import measures, storage

_IN_PARAMETERS = measures.formulas("number of parameters", "number of nonzero parameters")
_AS_BITMASK = measures.formulas("dense bytes", "bytes as bit mask and values")
_AS_CSR = measures.formulas("dense bytes", "bytes as CSR with zero counts")

FORMULAS: dict[str, str] = {
    "sparsity": f"{_IN_PARAMETERS['space_saving']}: the space saving in parameters",
    "compression_rate": _IN_PARAMETERS["compression_rate"],
    "space_saving": _AS_BITMASK["space_saving"],
    "bitmask_compression_rate": _AS_BITMASK["compression_rate"],
    "csr_space_saving": _AS_CSR["space_saving"],
    "csr_compression_rate": _AS_CSR["compression_rate"],
    "speed_up": measures.NOT_TIMED,
    "dense_bytes": "parameters x bytes a value",
    "bitmask_bytes": "ceil(parameters / 8) + nonzeros x bytes a value",
    "csr_bytes": (
        f"ceil(stored x {storage.COUNT_BITS} / 8) + stored x bytes a value; stored = nonzeros + "
        f"one zero for every {1 << storage.COUNT_BITS} zeros in a row before a nonzero"
    ),
    "all_parameters": "prunable weights as above; all other weights are stored dense",
}


@dataclasses.dataclass(frozen=True)
class Totals:
    """Sums over the weights that `counted` names.

    Attributes:
        counted: which weights, in words.
        size: number of parameters, the entries of the weights.
        nonzeros: number of them that are neither zero nor masked.
        dense_bytes: bytes when every entry is stored.
        bitmask_bytes: bytes as bit mask and nonzero values.
        csr_bytes: bytes as nonzero values with counts of zeros.
    """

    counted: str
    size: int
    nonzeros: int
    dense_bytes: int
    bitmask_bytes: int
    csr_bytes: int

    @property
    def sparsity(self) -> float:
        """The fraction of zeros: 1 - nonzero parameters / parameters."""
        return measures.space_saving(self.size, self.nonzeros)

    @property
    def compression_rate(self) -> float:
        """Parameters / nonzero parameters; infinity if every one is zero."""
        return measures.compression_rate(self.size, self.nonzeros)

    @property
    def space_saving(self) -> float:
        """1 - bytes as bit mask / dense bytes; < 0 if the mask adds more."""
        return measures.space_saving(self.dense_bytes, self.bitmask_bytes)

    @property
    def bitmask_compression_rate(self) -> float:
        """Dense bytes / bytes as bit mask."""
        return measures.compression_rate(self.dense_bytes, self.bitmask_bytes)

    @property
    def csr_space_saving(self) -> float:
        """1 - bytes as CSR / dense bytes; < 0 if the counts add more."""
        return measures.space_saving(self.dense_bytes, self.csr_bytes)

    @property
    def csr_compression_rate(self) -> float:
        """Dense bytes / bytes as CSR; infinity if every parameter is zero."""
        return measures.compression_rate(self.dense_bytes, self.csr_bytes)

    def to_dict(self) -> dict[str, object]:
        """Return plain values, ready for JSON; None stands for infinity."""
        return dataclasses.asdict(self) | {
            "sparsity": self.sparsity,
            "compression_rate": _or_none(self.compression_rate),
            "space_saving": self.space_saving,
            "bitmask_compression_rate": _or_none(self.bitmask_compression_rate),
            "csr_space_saving": self.csr_space_saving,
            "csr_compression_rate": _or_none(self.csr_compression_rate),
        }


def _or_none(rate: float) -> float | None:
    return rate if math.isfinite(rate) else None
