"""Accuracy against multiply-adds when whole channels of residual networks are removed."""
