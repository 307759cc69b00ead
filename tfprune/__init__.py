"""Pruning for Keras 3: wrap a model, train it, strip it, export a sparse TFLite file."""

import importlib
from typing import Any

from tfprune import scorers
from tfprune.calibration.batch_norm import refresh_batch_norm
from tfprune.compression.quantization import quantize_aware
from tfprune.layer_classes import prunable
from tfprune.layer_classes.prunable import PrunableLayer, register_prunable
from tfprune.pruning.callbacks import PruningSummaries, UpdatePruningStep
from tfprune.pruning.one_shot_pruning import one_shot
from tfprune.pruning.prune_model import prune, strip_pruning
from tfprune.pruning.sensitivity_analysis import Sensitivity, sensitivity
from tfprune.pruning.updater import PruningUpdater
from tfprune.reports.model_report import Report, report
from tfprune.reports.one_shot_report import OneShotReport, StageResult
from tfprune.sparsity import distributions, masks, schedules, structures
from tfprune.sparsity.schedules import ConstantSparsity, FromFunction, OneShot, PolynomialDecay
from tfprune.sparsity.structures import Block, Channel, NofM, Unstructured
from tfprune.targets.structures import structures_for
from tfprune.wrapping.pruned_layer import PrunedLayer

__version__ = "0.1.0"

__all__ = [
    "Block",
    "Channel",
    "ConstantSparsity",
    "FromFunction",
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
    "compat",
    "distributions",
    "export",
    "masks",
    "one_shot",
    "prunable",
    "prune",
    "quantize_aware",
    "refresh_batch_norm",
    "register_prunable",
    "report",
    "schedules",
    "scorers",
    "sensitivity",
    "strip_pruning",
    "structures",
    "structures_for",
]


def __getattr__(name: str) -> Any:
    """Import `tfprune.export` (which needs TensorFlow) and `tfprune.compat` when first used."""
    if name in ("export", "compat"):
        return importlib.import_module(f"tfprune.{name}")
    raise AttributeError(f"module 'tfprune' has no attribute {name!r}")
