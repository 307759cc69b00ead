"""Structured matrices: kernels of far fewer numbers than entries, as plain Keras layers."""
