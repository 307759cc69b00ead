"""TFLite files from pruned Keras models: smaller, checked against Keras, and measured.

Each public name is imported when it is first used: the readers of .tflite files are not needed by
what prunes and trains.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_MODULE_OF = {
    "Coverage": "predict.linting",
    "ExportReport": "report",
    "Inspection": "file.contents",
    "LayerCoverage": "predict.linting",
    "Timing": "run.bench",
    "benchmark": "run.bench",
    "inspect_tflite": "file.contents",
    "lint": "predict.linting",
    "to_tflite": "tflite",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULE_OF[name]}")
    return globals().setdefault(name, getattr(module, name))


def __dir__() -> list[str]:
    return list(__all__)
