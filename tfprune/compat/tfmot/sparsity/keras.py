"""The `sparsity.keras` namespace of tensorflow-model-optimization: its eleven public names."""

from tfprune.compat.callbacks import UpdatePruningStep
from tfprune.compat.policy import PruneForLatencyOnXNNPack, PruningPolicy
from tfprune.compat.pruning import prune_low_magnitude, prune_scope, strip_pruning
from tfprune.compat.schedules import ConstantSparsity, PolynomialDecay, PruningSchedule
from tfprune.layer_classes.prunable import PrunableLayer
from tfprune.reports.tensorboard import PruningSummaries

__all__ = [
    "ConstantSparsity",
    "PolynomialDecay",
    "PrunableLayer",
    "PruneForLatencyOnXNNPack",
    "PruningPolicy",
    "PruningSchedule",
    "PruningSummaries",
    "UpdatePruningStep",
    "prune_low_magnitude",
    "prune_scope",
    "strip_pruning",
]
