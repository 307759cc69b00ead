"""TFLite files from pruned Keras models: smaller, checked against Keras, and measured."""

from tfprune.export.bench import Timing, benchmark
from tfprune.export.inspect import Inspection, inspect_tflite
from tfprune.export.lint import Coverage, LayerCoverage, lint
from tfprune.export.report import ExportReport
from tfprune.export.tflite import to_tflite

__all__ = [
    "Coverage",
    "ExportReport",
    "Inspection",
    "LayerCoverage",
    "Timing",
    "benchmark",
    "inspect_tflite",
    "lint",
    "to_tflite",
]
