"""Ordinary networks, and how much of each runs on sparse kernels."""
