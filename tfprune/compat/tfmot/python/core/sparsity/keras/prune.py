"""The functions that wrap and strip."""

from tfprune.compat.pruning import prune_low_magnitude, prune_scope, strip_pruning

__all__ = ["prune_low_magnitude", "prune_scope", "strip_pruning"]
