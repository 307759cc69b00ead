"""The wrapper, for `isinstance`; its arguments are those of `tfprune.PrunedLayer`."""

from tfprune.wrapping.pruned_layer import PrunedLayer as PruneLowMagnitude

__all__ = ["PruneLowMagnitude"]
