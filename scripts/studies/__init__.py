"""Experiments on methods."""
