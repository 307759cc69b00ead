"""What the survey, and papers that it cites, published of each family; of other networks and data.

Figures of the survey are those of its tables on low rank (ILSVRC-2012, top-5) and on transferred
filters (CIFAR-10, VGG-16).
"""

import dataclasses

SURVEY = "Cheng et al., arXiv 1710.09282"


@dataclasses.dataclass(frozen=True)
class Figure:
    """A published result.

    Args:
        family: as in `recipes.RECIPES`.
        network: and data.
        method: the paper's name.
        rate: parameters (of Deep Compression, bytes) before / after.
        before, after: accuracy in per cent, of the original and of the compressed network.
        speed_up: time before / after; None where none is given.
        source: of the figures.
    """

    family: str
    network: str
    method: str
    rate: float
    before: float
    after: float
    speed_up: float | None
    source: str


_IMAGENET, _CIFAR = "ILSVRC-2012, top-5", "CIFAR-10"
_DEEP, _TTQ = "Han, Mao & Dally, arXiv 1510.00149", "Zhu et al., arXiv 1612.01064"
PUBLISHED = (
    Figure(
        "pruning+clustering", "LeNet-5, MNIST", "Deep Compression", 39, 99.20, 99.26, None, _DEEP
    ),
    Figure("low_rank", f"AlexNet, {_IMAGENET}", "BN low-rank", 4.94, 80.03, 80.56, 1.09, SURVEY),
    Figure("low_rank", f"AlexNet, {_IMAGENET}", "CP low-rank", 5.0, 80.03, 79.66, 1.82, SURVEY),
    Figure("low_rank", f"VGG-16, {_IMAGENET}", "BN low-rank", 2.72, 90.60, 90.47, 1.53, SURVEY),
    Figure("low_rank", f"VGG-16, {_IMAGENET}", "CP low-rank", 2.75, 90.60, 90.31, 2.05, SURVEY),
    Figure("compact", f"VGG-16, {_CIFAR}", "MBA", 2.0, 90.15, 90.24, None, SURVEY),
    Figure("compact", f"VGG-16, {_CIFAR}", "CReLU", 2.0, 90.15, 90.08, None, SURVEY),
    Figure("compact", f"VGG-16, {_CIFAR}", "CIRC", 4.0, 90.15, 89.77, None, SURVEY),
    Figure("compact", f"VGG-16, {_CIFAR}", "DCNN", 1.62, 90.15, 90.35, None, SURVEY),
    Figure("trained_ternary", f"ResNet-20, {_CIFAR}", "TTQ", 16, 91.77, 91.13, None, _TTQ),
)
