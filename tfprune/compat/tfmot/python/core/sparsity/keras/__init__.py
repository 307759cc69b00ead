"""What scripts import from `tensorflow_model_optimization.python.core.sparsity.keras`."""

from tfprune.compat.tfmot.python.core.sparsity.keras import (
    prune,
    pruning_callbacks,
    pruning_schedule,
    pruning_wrapper,
)

__all__ = ["prune", "pruning_callbacks", "pruning_schedule", "pruning_wrapper"]
