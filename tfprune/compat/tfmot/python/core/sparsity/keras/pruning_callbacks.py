"""The callbacks."""

from tfprune.compat.callbacks import UpdatePruningStep
from tfprune.pruning.callbacks import PruningSummaries

__all__ = ["PruningSummaries", "UpdatePruningStep"]
