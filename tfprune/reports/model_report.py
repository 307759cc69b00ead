"""What pruning left of a model: nonzero weights, bytes, and the measures of the literature.

A value that is masked counts as zero; a weight that several layers share counts once.

Sources: `tfprune.reports.measures` for compression rate and space saving,
`tfprune.reports.storage` for the bytes.
"""

import dataclasses
import os
import sys
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import keras
import numpy as np

from tfprune.keras_graph.rebuilding import outer_layers
from tfprune.layer_classes.prunable import explain_skip, prunable_weights
from tfprune.reports import html_page, storage, tables
from tfprune.reports.parts import SkippedLayer, WeightReport
from tfprune.reports.totals import FORMULAS, Totals
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity, each_once
from tfprune.support.validation import require_flag, require_model
from tfprune.wrapping.cohorts import plain_path
from tfprune.wrapping.masking import PrunedWeight
from tfprune.wrapping.pruned_layer import pruned_layers
from tfprune.wrapping.shortfall import tell_shortfall

if TYPE_CHECKING:
    from rich.console import Group


@dataclasses.dataclass(frozen=True)
class Report:
    """What `tfprune.report` found; `print` shows it as a table.

    Attributes:
        model: name of the model.
        weights: its prunable weights, in the order of its layers.
        skipped: its other layers.
        prunable: totals over the prunable weights.
        parameters: totals over all weights of the model, trainable or not.
    """

    model: str
    weights: tuple[WeightReport, ...]
    skipped: tuple[SkippedLayer, ...]
    prunable: Totals
    parameters: Totals

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
            "weights": [
                dataclasses.asdict(weight)
                | {"shape": list(weight.shape), "sparsity": weight.sparsity}
                for weight in self.weights
            ],
            "skipped": [dataclasses.asdict(skip) for skip in self.skipped],
            "prunable": self.prunable.to_dict(),
            "parameters": self.parameters.to_dict(),
            "speed_up": None,
            "formulas": dict(FORMULAS),
        }

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write the report, with a plot, as one HTML file that needs no other.

        Args:
            path: file to write, in a directory that exists; replaced if it exists.

        Raises:
            ValueError: if the file cannot be written; an older one is left as it was.
        """
        html_page.write(
            path, self.model, self.weights, self.notable_skips, self.prunable, self.parameters
        )

    def __str__(self) -> str:
        return tables.plain_text(self.__rich__())

    def __rich__(self) -> "Group":
        return tables.report_tables(
            self.model, self.weights, self.notable_skips, self.prunable, self.parameters
        )


def report(model: keras.Model, *, verbose: bool = True) -> Report:
    """Print and return what pruning left of a model: nonzeros, bytes, compression, space saving.

    Args:
        model: built model, plain or pruned. Masked values count as zeros, tied weights once.
        verbose: whether to print the table.

    Returns:
        The `Report`, with `.to_dict()` and `.to_html(path)`.

    Raises:
        TypeError: if `model` is not a `keras.Model`.
        ValueError: if it is not built.

    Warns:
        UserWarning: once, with numbers, if a pruned model has fewer zeros than its schedule asks
            for at its end.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> model.set_weights([np.eye(4, 3), np.ones(3)])
        >>> found = report(model, verbose=False)
        >>> found.prunable.nonzeros, found.prunable.size, found.parameters.size
        (3, 12, 15)
    """
    require_model("model", model, built=False)
    require_flag("verbose", verbose)
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' must be built: give it a keras.Input, or call it on a batch."
        )
    found = _measure(model)
    tell_shortfall(pruned_layers(model), "The report shows the model as it is.")
    if verbose:
        tables.show(found.__rich__(), sys.stdout)
    return found


def _measure(model: keras.Model) -> Report:
    masks = ByIdentity((own.weight, own.mask) for own in _pruned_weights(model))
    weights: ByIdentity[keras.Variable, WeightReport] = ByIdentity()
    skipped = []
    for layer in outer_layers(model):
        own = prunable_weights(layer)
        for weight in own:
            if weight not in weights:
                weights[weight] = _weight_report(layer, weight, masks.get(weight))
        if not own:
            kind = type(layer).__name__
            skipped.append(
                SkippedLayer(layer.name, kind, layer.count_params(), explain_skip(layer))
            )
    prunable = _sum("prunable weights", tuple(weights.values()))
    return Report(
        model=model.name,
        weights=tuple(weights.values()),
        skipped=tuple(skipped),
        prunable=prunable,
        parameters=_with_dense(prunable, _other_weights(model, weights)),
    )


def _pruned_weights(model: keras.Model) -> Iterator[PrunedWeight]:
    for wrapper in pruned_layers(model):
        yield from wrapper.pruned


def _weight_report(
    layer: keras.layers.Layer, weight: keras.Variable, mask: keras.Variable | None
) -> WeightReport:
    values = host_array(weight.value)
    nonzero = values != 0
    if mask is not None:
        nonzero = np.logical_and(nonzero, host_array(mask.value))
    dtype = keras.backend.standardize_dtype(weight.dtype)
    value_bytes = storage.value_bytes(dtype)
    return WeightReport(
        path=plain_path(layer, weight.path),
        layer=layer.name,
        shape=tuple(weight.shape),
        dtype=dtype,
        size=values.size,
        nonzeros=int(np.count_nonzero(nonzero)),
        dense_bytes=values.size * value_bytes,
        bitmask_bytes=storage.bitmask_bytes(nonzero, value_bytes),
        csr_bytes=storage.csr_bytes(nonzero, value_bytes),
        masked=mask is not None,
    )


def _sum(counted: str, weights: tuple[WeightReport, ...]) -> Totals:
    summed = ("size", "nonzeros", "dense_bytes", "bitmask_bytes", "csr_bytes")
    return Totals(counted, *(sum(getattr(weight, name) for weight in weights) for name in summed))


def _other_weights(
    model: keras.Model, prunable: Collection[keras.Variable]
) -> list[keras.Variable]:
    """The weights that are neither prunable nor added by pruning, each once."""
    added = each_once(own for wrapper in pruned_layers(model) for own in wrapper.added)
    return list(each_once(v for v in model.weights if v not in prunable and v not in added))


def _with_dense(prunable: Totals, others: list[keras.Variable]) -> Totals:
    arrays = [host_array(variable.value) for variable in others]
    dtypes = [keras.backend.standardize_dtype(variable.dtype) for variable in others]
    extra = sum(a.size * storage.value_bytes(dtype) for a, dtype in zip(arrays, dtypes))
    return Totals(
        counted="all parameters",
        size=prunable.size + sum(array.size for array in arrays),
        nonzeros=prunable.nonzeros + sum(int(np.count_nonzero(array)) for array in arrays),
        dense_bytes=prunable.dense_bytes + extra,
        bitmask_bytes=prunable.bitmask_bytes + extra,
        csr_bytes=prunable.csr_bytes + extra,
    )
