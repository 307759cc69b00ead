"""The wrapper under its other name."""

from tfprune.wrapping.pruned_layer import PrunedLayer as ClusterWeights

__all__ = ["ClusterWeights"]
