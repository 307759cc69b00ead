"""Distillation: a student learns from what a teacher makes of the same inputs."""
