"""The names that public functions take, where type checkers and editors see them."""

from typing import Literal

ScorerName = Literal[
    "magnitude",
    "random",
    "taylor",
    "obd",
    "fisher",
    "woodfisher",
    "reconstruction",
    "snip",
    "grasp",
    "synflow",
    "movement",
]
DistributionName = Literal["uniform", "erk", "global"]
TargetName = Literal[
    "auto", "arm64", "wasm", "x86", "size", "phone", "android", "ios", "browser", "desktop"
]
QuantizeName = Literal["float16", "int8_weights", "dynamic", "int8"]
