"""TFLite files from pruned Keras models: smaller, checked against Keras, and measured."""

from tfprune.export.file.contents import Inspection, inspect_tflite
from tfprune.export.predict.linting import Coverage, LayerCoverage, lint
from tfprune.export.report import ExportReport
from tfprune.export.run.bench import Timing, benchmark
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
