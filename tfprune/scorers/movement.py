"""Movement: keep the weights that training moves away from zero, -sum over updates of g w.

Source: Sanh, Wolf & Rush, "Movement Pruning: Adaptive Sparsity by Fine-Tuning", NeurIPS 2020, arXiv
2005.07683, section 3. A gradient step moves w by -g, so -g w > 0 means that |w| grows; scores add
up over training.

Time O(n) beyond one gradient a mask update, memory O(n): the sums are variables of the pruned
layers, so that they last from one `fit` to the next and are saved with the model.

Deviations: scores add up over mask updates, with the mean gradient of the data of the update, where
the paper adds up every training step; the learning rate of the scores, a common factor, is left
out. The paper lets the gradient through to removed weights, so that they may return; here their
gradient is zero, and their score stays where it was.
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
class Movement(Configurable):
    """Score every weight by -g w, added up over mask updates; g is the gradient of the mean loss.

    Example:
        >>> import types
        >>> found = types.SimpleNamespace(mean=lambda: {"w": np.array([2.0, -2.0])})
        >>> Movement()({"w": np.array([1.0, 1.0])}, found)
        {'w': array([-2.,  2.])}
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradients"})

    def __call__(self, weights: Arrays, evidence: Evidence) -> Arrays:
        require_question(weights, evidence, "mean")
        g = evidence.mean()
        return {name: -np.multiply(g[name], w, dtype=float) for name, w in weights.items()}

    def accumulate(self, previous: Arrays, scores: Arrays) -> Arrays:
        """Return previous + scores; new weights have no past."""
        require_arrays("previous", previous)
        require_arrays("scores", scores)
        return {
            name: previous[name] + value if name in previous else value
            for name, value in scores.items()
        }
