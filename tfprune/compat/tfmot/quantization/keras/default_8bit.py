"""The `quantization.keras.default_8bit` namespace of tensorflow-model-optimization."""

from tfprune.compat.schemes import Default8BitQuantizeScheme

__all__ = ["Default8BitQuantizeScheme"]
