"""The private paths of tensorflow-model-optimization that scripts import."""
