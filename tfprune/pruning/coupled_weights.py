"""Which pruned weights make the same channels."""

from collections.abc import Sequence

import keras

from tfprune.channels.coupling.shared import shared_channels
from tfprune.sparsity.structures import Channel
from tfprune.wrapping.cohorts import Cohort, Coupling


def coupling_of(model: keras.Model, cohorts: Sequence[Cohort]) -> Coupling:
    """Return which channels the weights of a model make together.

    Read off the graph once, and only where whole channels are removed.

    Args:
        model: with `PrunedLayer`s.
        cohorts: its cohorts.
    """
    axes = {
        name: (cohort.weights[name], structure.axis)
        for cohort in cohorts
        for name, structure in cohort.structures.items()
        if isinstance(structure, Channel)
    }
    return Coupling(shared_channels(model, axes) if len(axes) > 1 else {}, cohorts)
