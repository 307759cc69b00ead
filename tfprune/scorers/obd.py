"""OBD: the loss change by the diagonal of the Hessian, 1/2 w^2 H_qq.

Source: LeCun, Denker & Solla, "Optimal Brain Damage", NeurIPS 1989 (proceedings of 1990). With the
loss expanded around a minimum, where the gradient vanishes, and H taken as diagonal, removing
weight q (a step of -w_q) changes the loss by 1/2 H_qq w_q^2.

For n weights, time: `probes` Hessian-vector products, or n of them where the diagonal is exact;
memory O(n).

Deviations: the diagonal is that of the whole Hessian, estimated from random probes, while the paper
propagates an approximation back through the network that leaves out what may be negative. So a
score may be negative: the estimate is that the loss falls when the weight goes, and it goes first.
"""

import dataclasses
from typing import ClassVar

import keras
import numpy as np

from tfprune.scorers.protocol import Arrays, Evidence, require_question
from tfprune.support.array_arguments import require_arrays
from tfprune.support.configurable import Configurable
from tfprune.support.validation import require_integer


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class OBD(Configurable):
    """Score every weight by 1/2 w^2 H_qq, H the Hessian of the mean loss.

    Args:
        probes: random vectors for Hutchinson's estimate of the diagonal, >= 1; None computes it
            exactly, with one Hessian-vector product a weight.

    Raises:
        TypeError: if `probes` is not an integer; ValueError if it is < 1.

    Example:
        >>> import types
        >>> found = types.SimpleNamespace(hessian_diagonal=lambda n: {"w": np.array([4.0, 1.0])})
        >>> OBD()({"w": np.array([1.0, -3.0])}, found)
        {'w': array([2. , 4.5])}
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradients"})
    distribution: ClassVar[str] = "global"

    probes: int | None = 32

    def __post_init__(self) -> None:
        if self.probes is not None:
            require_integer("probes", self.probes, minimum=1)

    def __call__(self, weights: Arrays, evidence: Evidence) -> Arrays:
        require_question(weights, evidence, "hessian_diagonal")
        h = evidence.hessian_diagonal(self.probes)
        return {name: 0.5 * h[name] * np.square(w, dtype=float) for name, w in weights.items()}

    def predict(self, weights: Arrays, evidence: Evidence, pruned: Arrays) -> float:
        """Return the estimated loss change, 1/2 sum H_qq d_q^2 with d = pruned - weights."""
        require_question(weights, evidence, "hessian_diagonal")
        require_arrays("pruned", pruned, like=weights)
        h = evidence.hessian_diagonal(self.probes)
        return sum(
            0.5 * float(np.sum(h[name] * np.square(pruned[name] - w, dtype=float)))
            for name, w in weights.items()
        )
