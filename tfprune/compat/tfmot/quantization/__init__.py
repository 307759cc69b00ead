"""The `quantization` namespace of tensorflow-model-optimization."""

from tfprune.compat.tfmot.quantization import keras

__all__ = ["keras"]
