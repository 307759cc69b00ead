"""Latency of structured matrices beside the dense one, in LiteRT."""
