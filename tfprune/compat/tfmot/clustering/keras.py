"""The `clustering.keras` namespace of tensorflow-model-optimization: its public names."""

from tfprune.compat.clustering import (
    CentroidInitialization,
    ClusterableLayer,
    GradientAggregation,
    cluster_scope,
    cluster_weights,
    strip_clustering,
)

__all__ = [
    "CentroidInitialization",
    "ClusterableLayer",
    "GradientAggregation",
    "cluster_scope",
    "cluster_weights",
    "strip_clustering",
]
