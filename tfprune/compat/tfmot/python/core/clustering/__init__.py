"""A private path of tensorflow-model-optimization."""
