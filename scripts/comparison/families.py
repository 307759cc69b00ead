"""The families of `large_sparse_vs_small_dense.py`: how quality is measured, what was published."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Family:
    """One kind of model.

    Args:
        name: on the command line.
        title: what tables and plots call it.
        measure: the result that says how good a model is.
        label: what tables call that.
        scale: what it is multiplied by there.
        higher_is_better: whether it is better high.
        published: rows with "model", "nonzeros" (None where the paper gives none) and "quality".
    """

    name: str
    title: str
    measure: str
    label: str
    scale: float
    higher_is_better: bool
    published: tuple[dict[str, Any], ...]


def _rows(model: str, figures: dict[str, float]) -> list[dict[str, Any]]:
    return [
        {"model": f"{model}, {what}", "nonzeros": None, "quality": quality}
        for what, quality in figures.items()
    ]


# Zhu & Gupta, arXiv 1710.01878, on ImageNet, Penn Treebank and WMT 2016.
_CNN = (
    *_rows("InceptionV3", {"dense": 78.1, "50 % sparse": 78.0, "75 %": 76.1, "87.5 %": 74.6}),
    {"model": "MobileNet 1.0, 75 % sparse", "nonzeros": 1_090_000, "quality": 67.7},
)
_LSTM = (
    {"model": "PTB large, 90 % sparse", "nonzeros": 6_600_000, "quality": 80.24},
    {"model": "PTB medium, dense", "nonzeros": 19_800_000, "quality": 83.37},
    {"model": "PTB small, dense", "nonzeros": 4_650_000, "quality": 115.30},
)
_NMT = (
    *_rows("GNMT EN-DE", {"dense": 26.77, "80 % sparse": 26.86, "85 %": 26.52, "90 %": 26.19}),
    *_rows("GNMT DE-EN", {"dense": 29.47, "80 % sparse": 29.50, "85 %": 29.24, "90 %": 28.81}),
)

FAMILIES = {
    "cnn": Family("cnn", "image classifiers", "accuracy", "top-1, %", 100.0, True, _CNN),
    "lstm": Family("lstm", "language models", "perplexity", "perplexity", 1.0, False, _LSTM),
    "nmt": Family("nmt", "translation", "bleu", "BLEU", 1.0, True, _NMT),
}
