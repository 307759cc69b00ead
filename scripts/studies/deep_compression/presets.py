"""Networks, what is done to them, and what the paper published of them."""

import dataclasses
from collections.abc import Callable

import keras

from models.images.classic import lenet_5, lenet_300_100


@dataclasses.dataclass(frozen=True)
class Preset:
    """A network and its stages.

    Attributes:
        build: () -> untrained model.
        sparsity: of all kernels together, by magnitude over all layers.
        levels: values of a kernel, zero among them.
        dense_epochs, pruned_epochs, clustered_epochs: of each stage; each begins at its learning
            rate and ends near zero, by a cosine.
        published: stage -> (size of the original / size, error in percent) on MNIST. Sizes after
            the first two stages are those of weights with their indices.
    """

    build: Callable[[], keras.Model]
    sparsity: float
    levels: int
    dense_epochs: int
    pruned_epochs: int
    clustered_epochs: int
    published: dict[str, tuple[float | None, float | None]]


# Han, Mao & Dally, arXiv 1510.00149: tables 1 to 3.
PRESETS = {
    "lenet_300_100": Preset(
        lenet_300_100,
        0.93,
        8,
        20,
        40,
        5,
        {
            "dense": (1.0, 1.64),
            "pruned": (12.0, None),
            "clustered": (32.0, None),
            "coded": (40.0, 1.58),
        },
    ),
    "lenet_5": Preset(
        lenet_5,
        0.96,
        8,
        12,
        16,
        4,
        {
            "dense": (1.0, 0.80),
            "pruned": (12.0, None),
            "clustered": (33.0, None),
            "coded": (39.0, 0.74),
        },
    ),
}
RATES = {"dense": 1e-3, "pruned": 1e-3, "clustered": 2e-4}
TEACHING = {"temperature": 2.0, "alpha": 0.5}  # by the dense network, of the stages after it
BATCH = 128
STAGES = ("dense", "pruned", "clustered")
FILES = ("dense file", "pruned file", "clustered file", "microcontroller")
CALIBRATION = 200
