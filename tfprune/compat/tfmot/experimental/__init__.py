"""The `experimental` namespace of tensorflow-model-optimization."""

from tfprune.compat.tfmot.experimental import combine

__all__ = ["combine"]
