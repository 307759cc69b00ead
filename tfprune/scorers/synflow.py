"""SynFlow: the synaptic flow through each weight, |w| dR/d|w|.

Source: Tanaka, Kunin, Yamins & Ganguli, "Pruning neural networks without any data by iteratively
conserving synaptic flow", NeurIPS 2020, arXiv 2006.05467. R is the sum of the outputs, for an input
of ones, of the network with every weight replaced by its absolute value, before a softmax or
sigmoid at its end. Scores are >= 0 in a network of ReLUs, and every layer has the same total, so
none is emptied before the others.

Time: one gradient; memory O(n). No data is used.

Deviations: the rounds are the caller's (100, in geometric steps, in the paper): use `stages` of
one-shot pruning. With one round it can empty a layer.
"""

import dataclasses
from typing import ClassVar

import keras
import numpy as np

from tfprune.scorers.protocol import Arrays, Evidence, require_question
from tfprune.support.configurable import Configurable


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class SynFlow(Configurable):
    """Score every weight by |w| dR/d|w|, R the summed outputs of the network of |w|.

    Example:
        >>> import types
        >>> found = types.SimpleNamespace(synaptic_flow=lambda: {"w": np.array([1.0, 2.0])})
        >>> SynFlow()({"w": np.array([-3.0, 1.0])}, found)
        {'w': array([3., 2.])}
    """

    needs: ClassVar[frozenset[str]] = frozenset({"flow"})
    distribution: ClassVar[str] = "global"

    def __call__(self, weights: Arrays, evidence: Evidence) -> Arrays:
        require_question(weights, evidence, "synaptic_flow")
        flow = evidence.synaptic_flow()
        # float64: flow grows with the product of the layers' widths, and |w| times it further.
        return {
            name: np.multiply(flow[name], np.abs(w), dtype=float) for name, w in weights.items()
        }
