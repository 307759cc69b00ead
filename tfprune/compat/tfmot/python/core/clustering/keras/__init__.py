"""What scripts import from `tensorflow_model_optimization.python.core.clustering.keras`."""

from tfprune.compat.tfmot.python.core.clustering.keras import (
    cluster,
    cluster_config,
    cluster_wrapper,
    clusterable_layer,
    experimental,
)

__all__ = ["cluster", "cluster_config", "cluster_wrapper", "clusterable_layer", "experimental"]
