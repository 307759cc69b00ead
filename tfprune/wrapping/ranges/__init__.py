"""Activations rounded to 8 bits in training: their ranges, and where they stand inside layers."""
