"""Sparse and narrow storage of constants."""
