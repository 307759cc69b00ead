"""Fisher: the loss change by the diagonal of the empirical Fisher information, 1/2 w^2 F_qq.

Source: Theis, Korshunova, Tejani & Huszar, "Faster gaze prediction with dense networks and Fisher
pruning", arXiv 1801.05787, section 2. With F_qq = 1/N sum_n g_nq^2 over per-example gradients g
in place of the Hessian, removing weight q changes the loss by 1/(2N) sum_n g_nq^2 w_q^2. The 1/2 is
that of the second-order term of the Taylor series; it changes no ranking, but makes scores and
`predict` loss changes.

For n weights and N examples: time O(n N) beyond the gradients, which are streamed; memory O(n) in
float64, plus the gradients that are handed over at once.

Deviations: single weights are scored, where the paper scores feature maps by masks on their
activations and divides by the computation saved. Groups have the sum of their weights' scores:
within a group F is diagonal too.
"""

import dataclasses
from typing import ClassVar

import keras
import numpy as np

from tfprune.scorers.protocol import Arrays, Evidence, require_question
from tfprune.support.array_arguments import require_arrays
from tfprune.support.configurable import Configurable


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class Fisher(Configurable):
    """Score every weight by 1/2 w^2 F_qq, F the empirical Fisher information.

    Example:
        >>> import types
        >>> found = types.SimpleNamespace(batches=lambda size: [{"w": np.array([[1.0], [-3.0]])}])
        >>> Fisher()({"w": np.array([2.0])}, found)
        {'w': array([10.])}
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradients"})
    distribution: ClassVar[str] = "global"

    def __call__(self, weights: Arrays, evidence: Evidence) -> Arrays:
        fisher = diagonal(weights, evidence)
        return {name: 0.5 * fisher[name] * np.square(w, dtype=float) for name, w in weights.items()}

    def predict(self, weights: Arrays, evidence: Evidence, pruned: Arrays) -> float:
        """Return the estimated loss change, 1/2 sum F_qq d_q^2 with d = pruned - weights."""
        fisher = diagonal(weights, evidence)
        require_arrays("pruned", pruned, like=weights)
        return sum(
            0.5 * float(np.sum(fisher[name] * np.square(pruned[name] - w, dtype=float)))
            for name, w in weights.items()
        )


def diagonal(weights: Arrays, evidence: Evidence) -> Arrays:
    """Return the mean of the squared per-example gradients, in float64.

    Args:
        weights: name -> values.
        evidence: with gradients of these weights.

    Example:
        >>> import types
        >>> found = types.SimpleNamespace(batches=lambda size: [{"w": np.array([[1.0], [-3.0]])}])
        >>> diagonal({"w": np.array([2.0])}, found)
        {'w': array([5.])}
    """
    require_question(weights, evidence, "batches")
    totals = {name: np.zeros(w.shape) for name, w in weights.items()}
    examples = 0
    for batch in evidence.batches(1):
        for name, total in totals.items():
            for g in batch[name]:  # one example at a time: no copy of the batch in float64
                total += np.square(g, dtype=float)
        examples += len(next(iter(batch.values())))
    return {name: total / examples for name, total in totals.items()}
