"""Layers replaced by products of smaller ones: `tfprune.factorize`, one paper one file."""
