"""The `quantization.keras` namespace of tensorflow-model-optimization, as far as it is there."""

from tfprune.compat.quantization import (
    QuantizeAnnotate,
    quantize_annotate_layer,
    quantize_annotate_model,
    quantize_apply,
    quantize_model,
    quantize_scope,
)
from tfprune.compat.quantizers import QuantizeConfig
from tfprune.compat.tfmot.quantization.keras import default_8bit, quantizers

__all__ = [
    "QuantizeAnnotate",
    "QuantizeConfig",
    "default_8bit",
    "quantize_annotate_layer",
    "quantize_annotate_model",
    "quantize_apply",
    "quantize_model",
    "quantize_scope",
    "quantizers",
]
