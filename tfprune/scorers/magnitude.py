"""Magnitude: score |w|.

Source: Zhu & Gupta, "To prune, or not to prune", arXiv 1710.01878, section 3; the idea goes back to
Han et al., "Learning both weights and connections for efficient neural networks", NeurIPS 2015.
Time O(n); no memory, since the absolute values are taken where they are compared.
Deviations: none.
"""

import dataclasses

import keras

from tfprune.scorers.protocol import Arrays, Evidence, require_question
from tfprune.sparsity import selection
from tfprune.support.configurable import Configurable


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class Magnitude(Configurable):
    """Score every weight by its absolute value.

    Example:
        >>> import numpy as np
        >>> scores = Magnitude()({"w": np.array([-2.0, 1.0])})
        >>> np.asarray(scores["w"])
        array([2., 1.])
    """

    def __call__(
        self, weights: Arrays, evidence: Evidence | None = None
    ) -> dict[str, selection.Scores]:
        require_question(weights, evidence)
        return {name: selection.Magnitude(w) for name, w in weights.items()}
