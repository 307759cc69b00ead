"""The `clustering` namespace of tensorflow-model-optimization."""

from tfprune.compat.tfmot.clustering import keras

__all__ = ["keras"]
