"""Pruning for Keras 3: wrap a model, train it, strip it, export a sparse TFLite file."""

import importlib
from typing import Any

from tfprune import distributions, masks, prunable, schedules, scorers, structures
from tfprune.api import prune, strip_pruning
from tfprune.batch_norm import refresh_batch_norm
from tfprune.callbacks import PruningSummaries, UpdatePruningStep
from tfprune.one_shot import one_shot
from tfprune.one_shot_report import OneShotReport, StageResult
from tfprune.prunable import PrunableLayer, register_prunable
from tfprune.quantize_aware import quantize_aware
from tfprune.report import Report, report
from tfprune.schedules import ConstantSparsity, FromFunction, OneShot, PolynomialDecay
from tfprune.sensitivity import Sensitivity, sensitivity
from tfprune.structures import Block, Channel, NofM, Unstructured
from tfprune.targets import structures_for
from tfprune.updater import PruningUpdater
from tfprune.wrapper import PrunedLayer

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
