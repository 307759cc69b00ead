"""What layer-wise reconstruction needs to know about the inputs of a layer."""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class LayerInputs:
    """Second moments of a layer's inputs, and how its weight is laid out against them.

    The output of the layer is X W for each of `slices` independent parts, with X (samples, d) and
    W (d, outputs); a plain Dense layer has one slice.

    Attributes:
        moments: (slices, d, d) float64, X^T X summed over samples.
        samples: number of rows of X, >= 1.
        to_matrix: weight of its own shape -> (slices, d, outputs).
        from_matrix: the inverse.
    """

    moments: np.ndarray
    samples: int
    to_matrix: Callable[[np.ndarray], np.ndarray]
    from_matrix: Callable[[np.ndarray], np.ndarray]
