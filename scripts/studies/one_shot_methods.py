"""The methods that `one_shot_table.py` compares, and figures measured elsewhere beside them."""

import dataclasses
from typing import Any

from tfprune.scorers import Fisher, Magnitude, Reconstruction, WoodFisher

SPARSITIES = (0.9, 0.8, 0.7, 0.5, 0.6)
EVALUATION_SECONDS = 14.0  # for 10,000 images, on 2 cores

# Measured elsewhere, with the ResNet-20 on one subset of the test images.
ELSEWHERE = {
    "label": "measured elsewhere on one 1,500-image subset",
    "dense": 0.871,
    "rows": {
        "magnitude": {"0.5": 0.853, "0.7": 0.624, "0.8": 0.230, "0.9": 0.108},
        "woodfisher_9": {"0.5": 0.869, "0.7": 0.831, "0.8": 0.762, "0.9": 0.361},
        "woodfisher_joint_9": {"0.5": 0.870, "0.7": 0.839, "0.8": 0.780, "0.9": 0.567},
    },
}


@dataclasses.dataclass(frozen=True)
class Method:
    """A scorer with the options of `tfprune.one_shot`.

    Args:
        label: what tables and plots call it.
        scorer: the scorer.
        options: further arguments of `one_shot`.
        seconds: expected for a stage with 1,000 examples, on 2 cores, evaluation left out.
        on_the_way: measure the sparsities that the stages up to the highest one pass through, which
            takes one run for all of them.
    """

    label: str
    scorer: Any
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 10.0
    on_the_way: bool = False

    def describe(self) -> dict[str, Any]:
        return {"scorer": repr(self.scorer), **self.options}

    def expected_seconds(self, examples: int, images: int) -> float:
        stages = self.options.get("stages", 1)
        if self.on_the_way:
            stages = len(stages) / len(SPARSITIES)
        return (
            stages * self.seconds * examples / 1000 + 2 * EVALUATION_SECONDS * images / 10_000 + 3
        )


UNIFORM = {"distribution": "uniform"}
GLOBAL = {"distribution": "global"}
NINE = {"stages": 9, "spacing": "geometric"}
STEPS = {"stages": (0.3, 0.5, 0.6, 0.7, 0.76, 0.8, 0.84, 0.87, 0.9)}
PAPER = {"update": "sum"}  # what is removed together is made up for one by one


def stepwise(label: str, scorer: Any, options: dict[str, Any], seconds: float) -> Method:
    return Method(f"{label}, in stages", scorer, {**options, **STEPS}, seconds, True)


METHODS = {
    "magnitude": Method("magnitude", Magnitude(), UNIFORM, 1),
    "fisher": Method("diagonal Fisher", Fisher(), UNIFORM, 10),
    "woodfisher": Method("WoodFisher", WoodFisher(**PAPER), {}, 30),
    "woodfisher_steps": stepwise("WoodFisher", WoodFisher(**PAPER), {}, 25),
    "woodfisher_joint_steps": stepwise("WoodFisher, joint update", WoodFisher(), {}, 20),
    "reconstruction": Method("layer-wise reconstruction", Reconstruction(), UNIFORM, 25),
    "reconstruction_global": Method(
        "layer-wise reconstruction, global", Reconstruction(), GLOBAL, 25
    ),
    "reconstruction_steps": stepwise(
        "layer-wise reconstruction, global", Reconstruction(), GLOBAL, 25
    ),
    "woodfisher_joint": Method("WoodFisher, joint update", WoodFisher(), {}, 25),
    "woodfisher_joint_9": Method("WoodFisher, joint update, 9 stages", WoodFisher(), NINE, 20),
}
