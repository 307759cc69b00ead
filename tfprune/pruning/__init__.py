"""The drivers: prune, strip, update while training, prune at once."""
