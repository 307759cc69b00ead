"""What `fashion_export.py` compares: how its models are trained and which files they become."""

import dataclasses
import math
from typing import Any

import keras
import numpy as np

import tfprune
from scripts.quickstart import steps
from tfprune.export import to_tflite
from tfprune.export.report import ExportReport

START, DENSE = "start", "dense"
TRAINING, PRUNING, TUNING = range(3)
LOGITS_DENSE = (("logits/.*", None),)
BLOCKS_16 = tfprune.structures_for("x86", quantize="dynamic")  # as integer kernels read them


@dataclasses.dataclass(frozen=True)
class Recipe(steps.Recipe):
    """The quickstart's training, and the fine-tuning after it."""

    tuning_epochs: int = 2
    tuning_rate: float = 1e-4

    def phase(self, phase: int) -> tuple[int, float]:
        """Return the epochs and the learning rate of a phase."""
        return (
            (self.epochs, self.learning_rate),
            (self.pruning_epochs, self.learning_rate),
            (self.tuning_epochs, self.tuning_rate),
        )[phase]

    def schedule(self, sparsity: float, images: int) -> tfprune.PolynomialDecay:
        steps = math.ceil(images / self.batch_size) * self.pruning_epochs
        end = max(1, round(self.rising_part * steps))
        return tfprune.PolynomialDecay(
            0.0, sparsity, begin_step=0, end_step=end, frequency=self.frequency
        )


RECIPE = Recipe(**dataclasses.asdict(steps.RECIPES["fashion_mnist"]))


@dataclasses.dataclass(frozen=True)
class Model:
    """How a model is made from its parent, which is trained first where it has not been.

    Args:
        label: what tables call it.
        parent: name of the model it starts from, None for random weights.
        phase: which training follows, None for none.
        structure: of the pruning in it, None for no pruning.
        rules: of the pruning in it.
        bits: of the rounded weights, None for no rounding.
    """

    label: str
    parent: str | None
    phase: int | None
    structure: Any = None
    rules: tuple[tuple[str, Any], ...] = LOGITS_DENSE
    bits: int | None = None


MODELS = {
    START: Model("start", None, TRAINING),
    DENSE: Model("dense", START, PRUNING),
    "blocks_4": Model("blocks of 4", START, PRUNING, tfprune.structures_for("x86")),
    "blocks_16": Model("blocks of 16", START, PRUNING, BLOCKS_16),
    "blocks_16_all": Model("blocks of 16, output layer too", START, PRUNING, BLOCKS_16, rules=()),
    "tuned": Model("fine-tuned", "blocks_16", TUNING),
    "aware": Model("fine-tuned in 8 bits", "blocks_16", TUNING, bits=8),
    "rounded_4": Model("fine-tuned, then rounded to 4 bits", "tuned", None, bits=4),
    "aware_4": Model("fine-tuned in 4 bits", "blocks_16", TUNING, bits=4),
}


@dataclasses.dataclass(frozen=True)
class File:
    """One way to export one model.

    Args:
        model: a name in `MODELS`.
        quantize, target: as for `to_tflite`; None as target leaves the weights dense.
    """

    model: str
    quantize: str | None
    target: str | None

    @property
    def name(self) -> str:
        parts = (self.model, self.quantize or "float32", self.target)
        return "/".join(part for part in parts if part)

    def describe(self) -> dict[str, Any]:
        """Return how its model is made as plain values, for the results file."""
        plan = MODELS[self.model]
        return {
            "parent": plan.parent,
            "phase": plan.phase,
            "structure": repr(plan.structure),
            "rules": plan.rules,
            "bits": plan.bits,
        }

    def write(self, model: keras.Model, path: str, calibration: np.ndarray) -> ExportReport:
        """Export a plain model to `path`; only int8 looks at the `calibration` images."""
        return to_tflite(
            model,
            path,
            target=self.target or "auto",
            quantize=self.quantize,
            representative_data=calibration if self.quantize == "int8" else None,
            sparse=self.target is not None,
        )


TIMED = [File(DENSE, None, None), File(DENSE, "int8", None)] + [
    File(model, quantize, target)
    for model, kinds in (
        ("blocks_4", (None, "float16", "int8_weights")),
        ("blocks_16", ("dynamic", "int8")),
    )
    for target in ("x86", "size")
    for quantize in kinds
]
UNTIMED = [File("blocks_16", "int8_weights", "size"), File("blocks_16_all", "int8", "size")] + [
    File(model, quantize, "size")
    for model in ("tuned", "aware", "rounded_4", "aware_4")
    for quantize in ("int8_weights", "int8")
]
FILES = {file.name: file for file in TIMED + UNTIMED}
