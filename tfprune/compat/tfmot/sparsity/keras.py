"""The `sparsity.keras` namespace of tensorflow-model-optimization: its eleven public names."""

from tfprune.callbacks import PruningSummaries
from tfprune.compat.callbacks import UpdatePruningStep
from tfprune.compat.policy import PruneForLatencyOnXNNPack, PruningPolicy
from tfprune.compat.pruning import prune_low_magnitude, prune_scope, strip_pruning
from tfprune.compat.schedules import ConstantSparsity, PolynomialDecay, PruningSchedule
from tfprune.prunable import PrunableLayer

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
