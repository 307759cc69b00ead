"""WoodFisher: its scores, its inverse Fisher and its weight update."""

from tfprune.scorers.woodfisher.scorer import WoodFisher

__all__ = ["WoodFisher"]
