"""Layer-wise reconstruction: its scores, the removal of weights, the refit of the others."""

from tfprune.scorers.reconstruction.scorer import Reconstruction

__all__ = ["Reconstruction"]
