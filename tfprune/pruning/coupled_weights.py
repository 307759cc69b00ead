"""Which pruned weights make the same channels."""

from collections.abc import Sequence

import keras

from tfprune.keras_graph.coupling import coupled_among
from tfprune.sparsity.structures import Channel
from tfprune.wrapping.cohorts import Cohort


def coupled_names(model: keras.Model, cohorts: Sequence[Cohort]) -> list[frozenset[str]]:
    """Return sets of names of weights whose output channels are the same.

    Read off the graph once, and only where whole channels are removed.

    Args:
        model: with `PrunedLayer`s.
        cohorts: its cohorts.
    """
    kinds = [kind for cohort in cohorts for kind in cohort.structures.values()]
    if not any(isinstance(kind, Channel) for kind in kinds):
        return []
    weights = {name: weight for cohort in cohorts for name, weight in cohort.weights.items()}
    return coupled_among(model, weights)
