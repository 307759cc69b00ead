"""What an export did, as numbers and as a table."""

import dataclasses

import numpy as np

from tfprune.export.encode.sparse import EncodedTensor
from tfprune.export.predict.linting import Coverage
from tfprune.reports import measures

_A, _A_STAR = "dense float32 file", "file written"
_GZIP = measures.formulas(f"bytes of the {_A} after gzip", f"bytes of the {_A_STAR} after gzip")
_FORMULAS = {
    **measures.formulas(f"bytes of the {_A}", f"bytes of the {_A_STAR}"),
    **{f"gzip_{name}": formula for name, formula in _GZIP.items()},
    "speed_up": f"{measures.SPEED_UP}: {measures.NOT_TIMED}",
}


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """The outcome of `to_tflite`.

    Attributes:
        path: The file that was written.
        target: Where it is meant to run.
        quantize: How its weights are quantized, None for float32.
        bytes: Its size.
        gzip_bytes: Its size after gzip, as in an app package or a download.
        dense_bytes: Size of the dense float32 file that the converter gives.
        dense_gzip_bytes: The same after gzip.
        theory_bytes: The nonzero values as stored and one bit a weight, over the encoded weights.
        encodings: One entry per encoded weight.
        coverage: Which layers run on sparse kernels on the target, and what keeps the others off.
        rewrites: What was done to the subgraph, one sentence each.
        largest_difference: Largest difference between an output and Keras's, as a fraction of
            the output's largest magnitude.
        notes: What a user should know, one sentence each.
    """

    path: str
    target: str
    quantize: str | None
    bytes: int
    gzip_bytes: int
    dense_bytes: int
    dense_gzip_bytes: int
    theory_bytes: int
    encodings: tuple[EncodedTensor, ...]
    coverage: Coverage
    rewrites: tuple[str, ...]
    largest_difference: float
    notes: tuple[str, ...] = ()

    @property
    def encoded_bytes(self) -> int:
        """Bytes of the weights stored sparsely, to compare with `theory_bytes`."""
        return sum(e.encoded_bytes for e in self.encodings if e.encoding != "dense")

    @property
    def compression_rate(self) -> float:
        """a / a* of `dense_bytes` and `bytes`."""
        return measures.compression_rate(self.dense_bytes, self.bytes)

    @property
    def space_saving(self) -> float:
        """(a - a*) / a of `dense_bytes` and `bytes`; < 0 if the file is larger."""
        return measures.space_saving(self.dense_bytes, self.bytes)

    @property
    def gzip_compression_rate(self) -> float:
        """a / a* of `dense_gzip_bytes` and `gzip_bytes`."""
        return measures.compression_rate(self.dense_gzip_bytes, self.gzip_bytes)

    @property
    def gzip_space_saving(self) -> float:
        """(a - a*) / a of `dense_gzip_bytes` and `gzip_bytes`; < 0 if the file is larger."""
        return measures.space_saving(self.dense_gzip_bytes, self.gzip_bytes)

    def to_dict(self) -> dict[str, object]:
        """The report as plain values, ready for JSON, with the formulas behind the measures.

        `speed_up` is None: the file was run to check it, but not timed.
        """
        return dataclasses.asdict(self) | {
            "encoded_bytes": self.encoded_bytes,
            "compression_rate": self.compression_rate,
            "space_saving": self.space_saving,
            "gzip_compression_rate": self.gzip_compression_rate,
            "gzip_space_saving": self.gzip_space_saving,
            "speed_up": None,
            "formulas": dict(_FORMULAS),
        }

    def __str__(self) -> str:
        width = max([40, *(len(entry.name) + 1 for entry in self.encodings)])
        kind = f", {self.quantize}" if self.quantize else ""
        lines = [
            self.path,
            f"  {'bytes':<32}{'raw':>12}{'gzip':>12}",
            f"  {f'a, {_A}':<32}{self.dense_bytes:>12,}{self.dense_gzip_bytes:>12,}",
            f"  {f'a*, {_A_STAR}{kind}':<32}{self.bytes:>12,}{self.gzip_bytes:>12,}",
            f"  {f'compression rate {measures.COMPRESSION_RATE}':<32}"
            f"{self.compression_rate:>12.2f}{self.gzip_compression_rate:>12.2f}",
            f"  {f'space saving {measures.SPACE_SAVING}':<32}"
            f"{self.space_saving:>12.2%}{self.gzip_space_saving:>12.2%}",
            f"  speed-up {measures.SPEED_UP}: {measures.NOT_TIMED}",
        ]
        if self.encodings:
            lines += [
                f"  encoded weights: {self.encoded_bytes:,} bytes; values and one bit a weight "
                f"would be {self.theory_bytes:,}",
                f"  {'weight':<{width}}{'shape':>18}{'sparsity':>10}{'bytes':>11}  encoding",
            ]
        lines += [
            f"  {entry.name:<{width}}{'x'.join(map(str, entry.shape)):>18}"
            f"{entry.sparsity:>10.4f}{entry.encoded_bytes:>11,}  {entry.dtype} {entry.encoding}"
            for entry in self.encodings
        ]
        lines += [f"  {line}" for line in str(self.coverage).splitlines()]
        lines += [f"  rewritten: {sentence}" for sentence in self.rewrites]
        lines.append(f"  largest output difference: {self.largest_difference:.1e} of the scale")
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])


def theory_bytes(encodings: tuple[EncodedTensor, ...]) -> int:
    """The nonzero values as stored and one bit a weight, over the weights stored sparsely."""
    sparse = [entry for entry in encodings if entry.encoding != "dense"]
    values = sum(np.dtype(entry.dtype).itemsize * entry.nonzeros for entry in sparse)
    weights = sum(int(np.prod(entry.shape)) for entry in sparse)
    return values + -(-weights // 8)
