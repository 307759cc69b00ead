"""Pruning for Keras 3: wrap a model, train it, strip it, export a sparse TFLite file.

Names are imported when they are first used, so that what needs no Keras (`tfprune --help`) does not
wait for it. As soon as Keras is imported too, the classes of this package are known to it, so that
`keras.saving.load_model` reads pruned models after `import tfprune`.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from tfprune.support.import_hooks import SecondNames, after_import

if TYPE_CHECKING:
    from tfprune import channels, compat, export, scorers
    from tfprune.calibration.batch_norm import refresh_batch_norm
    from tfprune.compression.budget_search.compressing import compress
    from tfprune.compression.budget_search.compression_plan import CompressionPlan
    from tfprune.compression.clustering.clustering import cluster
    from tfprune.compression.compact_filters.compacting import compact_filters
    from tfprune.compression.distillation.distilling import distill
    from tfprune.compression.few_values.transforming import binarize, ternarize
    from tfprune.compression.folding import fold_batch_norm
    from tfprune.compression.low_rank.factorizing import factorize
    from tfprune.compression.low_rank.report import FactorizationReport, LayerFactors
    from tfprune.compression.quantization import quantize_aware
    from tfprune.compression.rounded_biases import round_biases
    from tfprune.compression.structured_matrices.restructuring import restructure
    from tfprune.layer_classes import prunable
    from tfprune.layer_classes.prunable import PrunableLayer, register_prunable
    from tfprune.pruning.callbacks import UpdatePruningStep
    from tfprune.pruning.one_shot_pruning import one_shot
    from tfprune.pruning.prune_model import prune
    from tfprune.pruning.sensitivity_analysis import Sensitivity, sensitivity
    from tfprune.pruning.strip import strip_pruning
    from tfprune.pruning.updater import PruningUpdater
    from tfprune.reports.measuring import report
    from tfprune.reports.model_report import Report
    from tfprune.reports.one_shot_report import OneShotReport, StageResult
    from tfprune.reports.tensorboard import PruningSummaries
    from tfprune.sparsity import distributions, masks, schedules, structures
    from tfprune.sparsity.schedules import ConstantSparsity, FromFunction, OneShot, PolynomialDecay
    from tfprune.sparsity.structures import Block, Channel, NofM, Unstructured
    from tfprune.targets.structures import structures_for
    from tfprune.wrapping.pruned_layer import PrunedLayer

__version__ = "0.1.0"

__all__ = [
    "Block",
    "Channel",
    "CompressionPlan",
    "ConstantSparsity",
    "FactorizationReport",
    "FromFunction",
    "LayerFactors",
    "NofM",
    "OneShot",
    "OneShotReport",
    "PolynomialDecay",
    "PrunableLayer",
    "PrunedLayer",
    "PruningSummaries",
    "PruningUpdater",
    "Report",
    "Sensitivity",
    "StageResult",
    "Unstructured",
    "UpdatePruningStep",
    "binarize",
    "channels",
    "cluster",
    "compact_filters",
    "compat",
    "compress",
    "distill",
    "distributions",
    "export",
    "factorize",
    "fold_batch_norm",
    "masks",
    "one_shot",
    "prunable",
    "prune",
    "quantize_aware",
    "refresh_batch_norm",
    "register_prunable",
    "report",
    "restructure",
    "round_biases",
    "schedules",
    "scorers",
    "sensitivity",
    "strip_pruning",
    "structures",
    "structures_for",
    "ternarize",
]

# Module -> what is public of it; the same as above, where type checkers and editors look.
_NAMES = {
    "calibration.batch_norm": ["refresh_batch_norm"],
    "compression.budget_search.compressing": ["compress"],
    "compression.budget_search.compression_plan": ["CompressionPlan"],
    "compression.clustering.clustering": ["cluster"],
    "compression.compact_filters.compacting": ["compact_filters"],
    "compression.distillation.distilling": ["distill"],
    "compression.few_values.transforming": ["binarize", "ternarize"],
    "compression.folding": ["fold_batch_norm"],
    "compression.low_rank.factorizing": ["factorize"],
    "compression.low_rank.report": ["FactorizationReport", "LayerFactors"],
    "compression.quantization": ["quantize_aware"],
    "compression.rounded_biases": ["round_biases"],
    "compression.structured_matrices.restructuring": ["restructure"],
    "layer_classes.prunable": ["PrunableLayer", "register_prunable"],
    "pruning.callbacks": ["UpdatePruningStep"],
    "pruning.one_shot_pruning": ["one_shot"],
    "pruning.prune_model": ["prune"],
    "pruning.sensitivity_analysis": ["Sensitivity", "sensitivity"],
    "pruning.strip": ["strip_pruning"],
    "pruning.updater": ["PruningUpdater"],
    "reports.measuring": ["report"],
    "reports.model_report": ["Report"],
    "reports.one_shot_report": ["OneShotReport", "StageResult"],
    "reports.tensorboard": ["PruningSummaries"],
    "sparsity.schedules": ["ConstantSparsity", "FromFunction", "OneShot", "PolynomialDecay"],
    "sparsity.structures": ["Block", "Channel", "NofM", "Unstructured"],
    "targets.structures": ["structures_for"],
    "wrapping.pruned_layer": ["PrunedLayer"],
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
# Public modules and where they stand: `tfprune.schedules` is `tfprune.sparsity.schedules`.
_MODULES = {
    "channels": "channels",
    "compat": "compat",
    "distributions": "sparsity.distributions",
    "export": "export",
    "masks": "sparsity.masks",
    "prunable": "layer_classes.prunable",
    "schedules": "sparsity.schedules",
    "scorers": "scorers",
    "structures": "sparsity.structures",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _MODULE_OF:
        module = importlib.import_module(f"{__name__}.{_MODULE_OF[name]}")
        return globals().setdefault(name, getattr(module, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def _is_part(module: str) -> bool:
    """Whether a module is Keras, or one of this package, which may import Keras in turn."""
    return module == "keras" or module.startswith(f"{__name__}.")


def _register_classes() -> None:
    """Import the modules of the public names, which make the package's classes known to Keras."""
    for module in (*_NAMES, "compat"):
        importlib.import_module(f"{__name__}.{module}")


if "keras" in sys.modules:
    _register_classes()
else:
    after_import(_is_part, _register_classes, ready=lambda: "keras" in sys.modules)
sys.meta_path.insert(
    0,
    SecondNames(
        {
            f"{__name__}.{name}": f"{__name__}.{place}"
            for name, place in _MODULES.items()
            if name != place
        }
    ),
)
