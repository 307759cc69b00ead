"""SNIP: connection sensitivity, |g w|.

Source: Lee, Ajanthan & Torr, "SNIP: Single-shot Network Pruning based on Connection Sensitivity",
ICLR 2019, arXiv 1810.02340. With a mask c on each weight, the derivative of the loss by c at c = 1
is g w, g the gradient of the mean loss; its magnitude is the score.

Time O(n) beyond one gradient, memory O(n).

Deviations: scores are not divided by their sum over the network, which changes no ranking. The
paper prunes before training, from one batch; here the model and the data are the caller's.
"""

import dataclasses
from typing import ClassVar

import keras
import numpy as np

from tfprune.scorers.protocol import Arrays, Evidence, require_question
from tfprune.support.configurable import Configurable


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class Snip(Configurable):
    """Score every weight by |g w|, g the gradient of the mean loss.

    Example:
        >>> import types
        >>> found = types.SimpleNamespace(mean=lambda: {"w": np.array([-2.0, 0.5])})
        >>> Snip()({"w": np.array([1.0, 3.0])}, found)
        {'w': array([2. , 1.5])}
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradients"})
    distribution: ClassVar[str] = "global"

    def __call__(self, weights: Arrays, evidence: Evidence) -> Arrays:
        require_question(weights, evidence, "mean")
        g = evidence.mean()
        return {name: np.abs(np.multiply(g[name], w, dtype=float)) for name, w in weights.items()}
