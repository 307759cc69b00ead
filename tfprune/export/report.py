"""What an export did, as numbers and as tables."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfprune.export.encode.sparse import EncodedTensor
from tfprune.export.predict.linting import Coverage, LayerCoverage
from tfprune.export.run.micro import MicroFigures
from tfprune.reports import measures
from tfprune.reports.pages import page_style
from tfprune.reports.tables import plain_text, short_table, table
from tfprune.targets.target import INTEGER_ARITHMETIC, TARGETS

_DENSE, _WRITTEN = "dense float32 file", "file written"
_GZIP = measures.formulas(
    f"bytes of the {_DENSE} after gzip", f"bytes of the {_WRITTEN} after gzip"
)
_FORMULAS = {
    **measures.formulas(f"bytes of the {_DENSE}", f"bytes of the {_WRITTEN}"),
    **{f"gzip_{name}": formula for name, formula in _GZIP.items()},
    "speed_up": measures.NOT_TIMED,
}
_HEADINGS = ("layer", "shape", "sparsity", "bytes stored", "multiply-adds", "kernel")
_SHOWN = 10  # layers in what is printed
_REASONS = 3


@dataclasses.dataclass(frozen=True, repr=False)
class ExportReport:
    """The outcome of `to_tflite`; `print` shows the verdict first, `.table()` has everything.

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
        micro: What the file asks of a microcontroller; None for other targets.
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
    micro: MicroFigures | None = None

    @property
    def encoded_bytes(self) -> int:
        """Bytes of the weights stored sparsely, to compare with `theory_bytes`."""
        return sum(e.encoded_bytes for e in self.encodings if e.encoding != "dense")

    @property
    def compression_rate(self) -> float:
        """`dense_bytes` / `bytes`."""
        return measures.compression_rate(self.dense_bytes, self.bytes)

    @property
    def space_saving(self) -> float:
        """1 - `bytes` / `dense_bytes`; < 0 if the file is larger."""
        return measures.space_saving(self.dense_bytes, self.bytes)

    @property
    def gzip_compression_rate(self) -> float:
        """`dense_gzip_bytes` / `gzip_bytes`."""
        return measures.compression_rate(self.dense_gzip_bytes, self.gzip_bytes)

    @property
    def gzip_space_saving(self) -> float:
        """1 - `gzip_bytes` / `dense_gzip_bytes`; < 0 if the file is larger."""
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

    def __repr__(self) -> str:
        return (
            f"<ExportReport of {self.path!r}: {self.bytes:,} bytes, dense {self.dense_bytes:,}; "
            f"{self.coverage.sparse_share:.1%} of the multiply-adds on sparse kernels>"
        )

    def _repr_html_(self) -> str:
        rows = [_layer_cells(self, layer) for layer in _leading_layers(self)]
        remarks = list(_remarks(self))
        return page_style.fragment(self.path, _verdict_lines(self), _HEADINGS, rows, remarks)

    def __str__(self) -> str:
        return _short_text(self)

    def table(self) -> str:
        """Return every weight, every layer and every note, as text."""
        width = max([40, *(len(entry.name) + 1 for entry in self.encodings)])
        kind = f", {self.quantize}" if self.quantize else ""
        lines = [
            self.path,
            f"  {'bytes':<32}{'raw':>12}{'gzip':>12}",
            f"  {_DENSE:<32}{self.dense_bytes:>12,}{self.dense_gzip_bytes:>12,}",
            f"  {f'{_WRITTEN}{kind}':<32}{self.bytes:>12,}{self.gzip_bytes:>12,}",
            f"  {'compression rate':<32}{self.compression_rate:>12.2f}"
            f"{self.gzip_compression_rate:>12.2f}",
            f"  {'space saving':<32}{self.space_saving:>12.2%}{self.gzip_space_saving:>12.2%}",
            f"  speed-up: {measures.NOT_TIMED}",
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
        if self.micro is not None:
            lines += [f"  {word}: {text}" for word, text in self.micro.verdict_lines()]
        lines.append(f"  largest output difference: {self.largest_difference:.1e} of the scale")
        return "\n".join(lines + [f"  note: {note}" for note in (*self.notes, measures.NOTE)])


def theory_bytes(encodings: tuple[EncodedTensor, ...]) -> int:
    """The nonzero values as stored and one bit a weight, over the weights stored sparsely."""
    sparse = [entry for entry in encodings if entry.encoding != "dense"]
    values = sum(np.dtype(entry.dtype).itemsize * entry.nonzeros for entry in sparse)
    weights = sum(int(np.prod(entry.shape)) for entry in sparse)
    return values + -(-weights // 8)


def _short_text(report: ExportReport) -> str:
    """Return the verdict, the ten layers with the most multiply-adds, and the notes."""
    layers = _leading_layers(report)
    left_out = len(report.coverage.layers) - len(layers)
    shown = short_table(
        report.path,
        _verdict_lines(report),
        table(_HEADINGS, [_layer_cells(report, layer) for layer in layers]),
        list(_remarks(report)),
        f"{left_out} smaller layers are not shown. " if left_out else "",
    )
    return plain_text(shown)


def _layer_cells(report: ExportReport, layer: LayerCoverage) -> tuple[str, ...]:
    """Return a layer's row under `_HEADINGS`."""
    stored = {entry.name: entry for entry in report.encodings}.get(layer.name)
    return (
        layer.name,
        "x".join(map(str, layer.shape)),
        f"{layer.sparsity:.2%}",
        f"{stored.encoded_bytes:,} of {stored.dense_bytes:,}" if stored else "as dense",
        f"{layer.multiply_adds / max(1, report.coverage.multiply_adds):.1%}",
        layer.kernel,
    )


def _leading_layers(report: ExportReport) -> list[LayerCoverage]:
    """Return the ten layers with the most multiply-adds, most first."""
    return sorted(report.coverage.layers, key=lambda layer: -layer.multiply_adds)[:_SHOWN]


def _verdict_lines(report: ExportReport) -> list[tuple[str, str]]:
    """Return five lines, each a word and what there is to say about it."""
    found = report.coverage
    sizes = f"{report.dense_bytes:,} bytes dense -> {report.bytes:,}"
    gzip = f"{report.dense_gzip_bytes:,} -> {report.gzip_bytes:,}"
    kernels = [
        (
            "sparse kernels",
            f"{found.sparse_share:.1%} of the multiply-adds, {found.sparse_layers} of "
            f"{len(found.layers)} layers ({found.target})",
        ),
        ("speed", f"{_expected(report)}; not measured here"),
    ]
    return [
        ("size", f"{sizes} ({measures.in_words(report.compression_rate)}); after gzip {gzip}"),
        *(kernels if report.micro is None else report.micro.verdict_lines()),
        ("difference", f"at most {report.largest_difference:.1e} of the outputs' scale to Keras"),
        ("next", _advice(report)),
    ]


def _expected(report: ExportReport) -> str:
    """What kernels alone let expect; how much, only a measurement tells."""
    found = report.coverage
    if found.defects:
        return f"does not run correctly on {found.target}"
    if not found.sparse_layers:
        return "expected as that of the dense file"
    return f"expected faster than the dense file on {found.target}"


def _advice(report: ExportReport) -> str:
    found = report.coverage
    if found.defects:
        return f"do not ship it: {found.defects[0]}"
    if not any(layer.sparsity for layer in found.layers):
        return "prune the model first: tfprune.prune, tfprune.one_shot or `tfprune prune`"
    if report.micro is not None and report.encodings:
        return "put it into firmware: `tfprune export --target microcontroller --c-array OUT.cc`"
    if _is_convolutional(report):
        where = report.target
        if report.quantize in INTEGER_ARITHMETIC:
            where = f"{report.target} in {report.quantize}"
        return (
            f"convolutions have no sparse kernels on {where}: for speed remove channels "
            "(tfprune.channels), after which every kernel is faster"
        )
    if found.sparse_layers:
        return "time it on the device: tfprune.export.benchmark, or `tfprune bench DENSE SPARSE`"
    if not report.encodings:
        return "compare it: no zero is left out of this file, see the notes"
    if report.target == "size":
        return "nothing: it is as small as asked; name the target if speed counts, too"
    return (
        "see below why layers stay dense; for speed matrices want structures_for(target) and "
        "enough zeros, convolutions fewer channels (tfprune.channels)"
    )


def _is_convolutional(report: ExportReport) -> bool:
    """Whether most is computed in pruned convolutions, where no sparse kernel can be."""
    target = TARGETS[report.target]
    kernels = target.sparse_convolutions and report.quantize not in INTEGER_ARITHMETIC
    if kernels or target.costs is None or report.micro is not None:
        return False
    layers = report.coverage.layers
    pruned = sum(
        layer.multiply_adds
        for layer in layers
        if layer.sparsity and layer.operator in ("CONV_2D", "TRANSPOSE_CONV", "CONV_3D")
    )
    return 2 * pruned > report.coverage.multiply_adds


def _remarks(report: ExportReport) -> Iterator[str]:
    yield from (f"Defect: {defect}" for defect in report.coverage.defects)
    blockers = report.coverage.blockers if report.micro is None else {}
    for reason, count in list(blockers.items())[:_REASONS]:
        yield f"Not on a sparse kernel, {count} layer{'s' * (count > 1)}: {reason}"
    yield from (f"Note: {note}" for note in report.notes)
