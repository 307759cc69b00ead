"""Other packages' names over tfprune, so that a script migrates by changing its import line."""

from tfprune.compat import tfmot

__all__ = ["tfmot"]
