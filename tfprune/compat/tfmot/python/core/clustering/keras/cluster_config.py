"""What they are called with."""

from tfprune.compat.clustering import CentroidInitialization, GradientAggregation

__all__ = ["CentroidInitialization", "GradientAggregation"]
