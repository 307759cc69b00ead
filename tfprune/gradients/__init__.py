"""Data -> gradients: mean, per micro-batch, per example, and curvature. Needs TensorFlow."""

from tfprune.gradients.tape import LossGradients

__all__ = ["LossGradients"]
