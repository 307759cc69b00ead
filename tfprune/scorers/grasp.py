"""GraSP: keep the weights whose removal would weaken the gradient flow, w (Hg).

Source: Wang, Zhang & Grosse, "Picking Winning Tickets Before Training by Preserving Gradient Flow",
ICLR 2020, arXiv 2002.07376. A step d in the weights changes the squared norm of the gradient g of
the mean loss:

    |g + H d|^2 - |g|^2 = 2 d^T H g + O(|d|^2).

Removing weight q is the step -w_q, a change of -2 w_q (Hg)_q. The paper scores -w (Hg) and removes
the largest, whose removal raises the norm most (or lowers it least). Here larger scores are kept,
so the score is the negative of that, w (Hg), with its sign.

Time: a gradient and one Hessian-vector product; memory O(n).

Deviations: the paper divides the logits by a temperature of 200, which here is up to the loss that
is passed. The Hessian is that of the weights that are scored; the paper's is too.
"""

import dataclasses
from typing import ClassVar

import keras
import numpy as np

from tfprune.scorers.protocol import Arrays, Evidence, require_question
from tfprune.support.configurable import Configurable


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class Grasp(Configurable):
    """Score every weight by w (Hg), g and H of the mean loss; negative scores are usual.

    Example:
        >>> import types
        >>> found = types.SimpleNamespace(
        ...     mean=lambda: {"w": np.array([1.0, 1.0])},
        ...     hessian_vector_product=lambda v: {"w": np.array([2.0, 3.0]) * v["w"]})
        >>> Grasp()({"w": np.array([1.0, -1.0])}, found)
        {'w': array([ 2., -3.])}
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradients"})
    distribution: ClassVar[str] = "global"

    def __call__(self, weights: Arrays, evidence: Evidence) -> Arrays:
        require_question(weights, evidence, "mean", "hessian_vector_product")
        g = evidence.mean()
        hg = evidence.hessian_vector_product({name: g[name] for name in weights})
        return {name: np.multiply(hg[name], w, dtype=float) for name, w in weights.items()}
