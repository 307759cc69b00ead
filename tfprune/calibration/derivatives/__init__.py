"""Derivatives of a model's loss by chosen values, on the backends that have them."""

from tfprune.calibration.derivatives.protocol import (
    BACKENDS,
    Derivatives,
    derivatives_of,
    require_backend,
)

__all__ = ["BACKENDS", "Derivatives", "derivatives_of", "require_backend"]
