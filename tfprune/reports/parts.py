"""What a report is made of: its prunable weights, and the layers that were skipped."""

import dataclasses

from tfprune.reports import measures
from tfprune.reports.pages.weight_picture import WeightPicture


@dataclasses.dataclass(frozen=True)
class WeightReport:
    """One prunable weight.

    Attributes:
        path: path of the variable.
        layer: name of the layer that holds it.
        shape: its shape.
        dtype: type of its values.
        size: number of entries.
        nonzeros: number of entries that are neither zero nor masked.
        dense_bytes: bytes when every entry is stored.
        bitmask_bytes: bytes as bit mask and nonzero values.
        csr_bytes: bytes as nonzero values with counts of zeros.
        masked: whether the weight has a mask on it.
        asked: sparsity that its schedule ends at; None without one, and where weights share theirs.
        picture: its histogram and mask, for the page.
    """

    path: str
    layer: str
    shape: tuple[int, ...]
    dtype: str
    size: int
    nonzeros: int
    dense_bytes: int
    bitmask_bytes: int
    csr_bytes: int
    masked: bool
    asked: float | None = None
    picture: WeightPicture | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def sparsity(self) -> float:
        """Fraction of the entries that are zero."""
        return measures.space_saving(self.size, self.nonzeros)

    def to_dict(self) -> dict[str, object]:
        """Return plain values, ready for JSON: all but the picture."""
        values = dataclasses.asdict(dataclasses.replace(self, picture=None))
        del values["picture"]
        return values | {"shape": list(self.shape), "sparsity": self.sparsity}


@dataclasses.dataclass(frozen=True)
class SkippedLayer:
    """A layer with nothing to prune.

    Attributes:
        layer: its name.
        kind: its class.
        parameters: number of its parameters.
        reason: why there is nothing to prune.
        failed: whether it may hold weights worth pruning, which could not be reached.
    """

    layer: str
    kind: str
    parameters: int
    reason: str
    failed: bool = False
