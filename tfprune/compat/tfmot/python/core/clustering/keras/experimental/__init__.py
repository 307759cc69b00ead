"""The functions once more, where the options for sparsity and channels used to be."""

from tfprune.compat.tfmot.python.core.clustering.keras import cluster

__all__ = ["cluster"]
