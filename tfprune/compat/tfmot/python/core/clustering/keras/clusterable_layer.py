"""The mixin for layers of one's own."""

from tfprune.compat.clustering import ClusterableLayer

__all__ = ["ClusterableLayer"]
