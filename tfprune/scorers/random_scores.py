"""Random: a score that says nothing, the baseline that every other one must beat.

Time and memory O(n). Deviations: not from a paper. Scores depend on the seed and on the weight's
path alone, so that masks are nested as sparsity grows and equal on every replica.
"""

import dataclasses
import zlib

import keras
import numpy as np

from tfprune.scorers.protocol import Arrays, Evidence, require_question
from tfprune.sparsity.selection import Scores
from tfprune.support.configurable import Configurable
from tfprune.support.validation import require_seed


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class Random(Configurable):
    """Score every weight by a uniform random number in [0, 1).

    Args:
        seed: integer in [0, 2^32).

    Raises:
        TypeError: if `seed` is not an integer; ValueError if it is out of range.

    Example:
        >>> Random(seed=1)({"w": np.zeros((2, 3))})["w"].shape
        (2, 3)
    """

    seed: int = 0

    def __post_init__(self) -> None:
        require_seed("seed", self.seed)

    def __call__(self, weights: Arrays, evidence: Evidence | None = None) -> dict[str, Scores]:
        require_question(weights, evidence)
        return {
            name: np.random.default_rng([self.seed, zlib.crc32(name.encode())]).random(
                w.shape, np.float32
            )
            for name, w in weights.items()
        }
