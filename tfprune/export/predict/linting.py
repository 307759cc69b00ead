"""Which layers of a .tflite file run on sparse kernels, and what keeps the others off them."""

import collections
import dataclasses
import os

from tfprune.export.file import flatbuffer, loops, micro_decoding
from tfprune.export.file.decoding import Constants, read_between
from tfprune.export.file.subgraph import subgraphs
from tfprune.export.file.tables import Model
from tfprune.export.predict import clusters, delegation, micro, verdicts
from tfprune.export.predict.nchw import Setting
from tfprune.reports.pages import page_style
from tfprune.targets.target import LINTED, Target, TargetName, require_target

# What reading a damaged model may raise that passed the checks on parsing.
_DAMAGE_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)

_NOT_FOR_MICRO = (
    "Not for tflite-micro, which reads the stored values of sparse tensors as if they were dense."
)


@dataclasses.dataclass(frozen=True)
class LayerCoverage:
    """A layer of a file.

    Attributes:
        name: The name of its weight, as stored.
        graph: The index of its subgraph; 0 is the main one, others are loop bodies and conditions.
        operator: Its operator, such as "CONV_2D".
        shape: The dense shape of its weight, in TFLite's order of axes.
        sparsity: The fraction of zeros in the weight, in [0, 1].
        multiply_adds: Those of one inference, zeros included, in all steps of its loops.
        kernel: "sparse 1x1 NCHW", "sparse 1x4", "sparse 1x16", "sparse rows", "dense", or "broken"
            where the outputs would be wrong or the runtime refuses the file.
        blocker: Why the kernel is not sparse; empty where it is.
    """

    name: str
    graph: int
    operator: str
    shape: tuple[int, ...]
    sparsity: float
    multiply_adds: int
    kernel: str
    blocker: str

    @property
    def is_sparse(self) -> bool:
        """Whether the kernel skips zeros."""
        return self.kernel.startswith("sparse")


@dataclasses.dataclass(frozen=True, repr=False)
class Coverage:
    """What of a file runs on sparse kernels.

    Attributes:
        name: The file.
        target: Where it runs: "arm64", "wasm", "x86" or "microcontroller".
        layers: Its layers in running order.
        defects: Why outputs would be wrong, or the file would not load, on the target.
        notes: What was assumed, and what is not counted, one sentence each.
    """

    name: str
    target: str
    layers: tuple[LayerCoverage, ...]
    defects: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sparse_layers(self) -> int:
        """The number of layers on sparse kernels."""
        return sum(layer.is_sparse for layer in self.layers)

    @property
    def sparse_convolutions(self) -> int:
        """The number of layers on XNNPACK's sparse 1x1 kernels."""
        return sum(layer.kernel == verdicts.SPARSE_1X1 for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """The multiply-adds of one inference, zeros included."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def sparse_multiply_adds(self) -> int:
        """Those of them that are in layers on sparse kernels."""
        return sum(layer.multiply_adds for layer in self.layers if layer.is_sparse)

    @property
    def sparse_share(self) -> float:
        """The share of the multiply-adds that is in layers on sparse kernels, in [0, 1]."""
        return self.sparse_multiply_adds / max(1, self.multiply_adds)

    @property
    def blockers(self) -> dict[str, int]:
        """Reason -> the number of layers that it keeps off sparse kernels, most first."""
        found = collections.Counter(layer.blocker for layer in self.layers if layer.blocker)
        return dict(found.most_common())

    def to_dict(self) -> dict[str, object]:
        """The coverage as plain values, ready for JSON."""
        return dataclasses.asdict(self) | {
            "sparse_layers": self.sparse_layers,
            "sparse_convolutions": self.sparse_convolutions,
            "multiply_adds": self.multiply_adds,
            "sparse_multiply_adds": self.sparse_multiply_adds,
            "sparse_share": self.sparse_share,
            "blockers": self.blockers,
        }

    def __repr__(self) -> str:
        return f"<Coverage of {self._title()}>"

    def _repr_html_(self) -> str:
        rows = [
            (
                layer.name,
                layer.operator,
                "x".join(map(str, layer.shape)),
                f"{layer.sparsity:.2%}",
                f"{layer.multiply_adds:,}",
                f"{layer.kernel}: {layer.blocker}" if layer.blocker else layer.kernel,
            )
            for layer in self.layers
        ]
        headings = ("layer", "operator", "shape", "sparsity", "multiply-adds", "kernel")
        return page_style.fragment(self._title(), (), headings, rows, [*self.defects, *self.notes])

    def _title(self) -> str:
        return (
            f"{self.name}: {self.sparse_layers} of {len(self.layers)} layers and "
            f"{self.sparse_share:.1%} of the multiply-adds on sparse kernels ({self.target})"
        )

    def __str__(self) -> str:
        width = max([32, *(len(layer.name) + 1 for layer in self.layers)])
        lines = [
            self._title(),
            f"  {'layer':<{width}}{'operator':>18}{'shape':>18}{'sparsity':>10}{'mult-adds':>15}"
            "  kernel",
        ]
        lines += [
            f"  {layer.name:<{width}}{layer.operator:>18}{'x'.join(map(str, layer.shape)):>18}"
            f"{layer.sparsity:>10.4f}{layer.multiply_adds:>15,}  {layer.kernel}"
            + (f": {layer.blocker}" if layer.blocker else "")
            for layer in self.layers
        ]
        lines += [f"  defect: {defect}" for defect in self.defects]
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])


def lint(path: str | os.PathLike[str], *, target: TargetName = "arm64") -> Coverage:
    """Tells which layers of a .tflite file run on sparse kernels, without running it.

    Args:
        path: Any .tflite file.
        target: "arm64" and "wasm" have XNNPACK's sparse 1x1 kernels, "x86" has not. The sparse
            kernels of fully connected layers are everywhere. "microcontroller" has none; its
            defects are what tflite-micro cannot run.

    Returns:
        One row a layer with weights; `print` shows them as a table.

    Raises:
        ValueError: If the file cannot be read, or is empty, foreign, truncated or damaged, or the
            target is unknown.

    Example:
        >>> lint("no such file.tflite")
        Traceback (most recent call last):
        ValueError: `path` must name a readable TFLite file. Received: ...
    """
    machine = LINTED[require_target(target, LINTED)]
    model, _ = flatbuffer.read(path)
    return coverage(model, os.fspath(path), machine)


def coverage(model: Model, name: str, target: Target) -> Coverage:
    """Tells the same of a parsed model.

    Args:
        model: The `ModelT`, which is not changed.
        name: What the table and error messages call it.
        target: The machine, of `tfprune.targets.target.LINTED`.

    Returns:
        One row a layer with weights.

    Raises:
        ValueError: If the model is damaged.
    """
    try:
        return _coverage(model, name, target)
    except _DAMAGE_ERRORS as error:
        raise ValueError(
            "`path` must name a whole TFLite file, this one is damaged. "
            f"Received: path={name!r} ({type(error).__name__}: {error})."
        ) from error


def _coverage(model: Model, name: str, target: Target) -> Coverage:
    refused: tuple[str, ...] = ()
    if target.in_tflite_micro:
        refused, model = micro.defects(model), micro_decoding.plain(model)
    between = read_between(model)
    repeats, notes = loops.repeats(model)
    rows, defects, uncounted = [], list(refused), collections.Counter[str]()
    for number, (subgraph, times) in enumerate(zip(subgraphs(model), repeats)):
        constants = Constants(subgraph)
        found = verdicts.layers(subgraph, constants)
        uncounted.update(verdicts.uncounted(subgraph, constants))
        predicted = None
        if not target.in_tflite_micro:
            setting = Setting(subgraph, constants, target.mixes_widths)
            defects += [each for each in delegation.misread(setting) if each not in defects]
            if target.sparse_convolutions:
                predicted = clusters.predict(setting)
        for layer in found:
            verdict = micro.VERDICT
            if not target.in_tflite_micro:
                buffer = subgraph.tensor(constants.source(layer.weight)[0]).buffer
                costs = target.reading(between.get(buffer, 0)).costs
                verdict = verdicts.verdict(subgraph, constants, layer, predicted, costs)
            rows.append(
                LayerCoverage(
                    name=subgraph.name(constants.source(layer.weight)[0]),
                    graph=number,
                    operator=flatbuffer.OPERATOR_NAMES[subgraph.code(layer.operator)],
                    shape=subgraph.shape(layer.weight),
                    sparsity=verdicts.sparsity(subgraph, constants, layer.weight),
                    multiply_adds=layer.multiply_adds * times,
                    kernel=verdict.kernel,
                    blocker=verdict.blocker,
                )
            )
            if verdict.kernel == verdicts.BROKEN and verdict.blocker not in defects:
                defects.append(verdict.blocker)
    notes += tuple(f"{count} {what}" for what, count in uncounted.items())
    if not refused and any(
        tensor.sparsity is not None for each in model.subgraphs for tensor in each.tensors
    ):
        notes += (_NOT_FOR_MICRO,)
    return Coverage(name, target.name, tuple(rows), tuple(defects), notes)
