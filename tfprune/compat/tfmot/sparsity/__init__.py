"""The `sparsity` namespace of tensorflow-model-optimization."""

from tfprune.compat.tfmot.sparsity import keras

__all__ = ["keras"]
