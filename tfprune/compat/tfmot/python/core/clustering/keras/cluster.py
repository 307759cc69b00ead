"""The functions that wrap and strip."""

from tfprune.compat.clustering import cluster_scope, cluster_weights, strip_clustering

__all__ = ["cluster_scope", "cluster_weights", "strip_clustering"]
