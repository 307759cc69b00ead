"""See `tfprune.compat.tfmot.python`."""
