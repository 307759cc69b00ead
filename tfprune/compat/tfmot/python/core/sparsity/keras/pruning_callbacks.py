"""The callbacks."""

from tfprune.compat.callbacks import UpdatePruningStep
from tfprune.reports.tensorboard import PruningSummaries

__all__ = ["PruningSummaries", "UpdatePruningStep"]
